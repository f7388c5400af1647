/** A list that outlives a reload. Knows nothing of React. */
export class KeptList<T> {
  /** How many entries were left out because they are not valid. */
  readonly dropped: number;
  private items: readonly T[];
  private readonly key: string;
  private readonly listeners = new Set<() => void>();

  /** Read what is kept under the key; entries that are not `valid` are left out. */
  constructor(key: string, valid: (item: unknown) => item is T) {
    this.key = key;
    const kept = recall(key);
    this.items = kept.filter(valid);
    this.dropped = kept.length - this.items.length;
  }

  readonly get = (): readonly T[] => this.items;

  readonly subscribe = (listener: () => void): (() => void) => {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  };

  set(items: readonly T[]): void {
    this.items = items;
    localStorage.setItem(this.key, JSON.stringify(items));
    for (const listener of this.listeners) listener();
  }
}

function recall(key: string): unknown[] {
  try {
    const kept: unknown = JSON.parse(localStorage.getItem(key) ?? "[]");
    return Array.isArray(kept) ? kept : [];
  } catch {
    return [];
  }
}
