import { Told } from "@/store";

/** A list that outlives a reload. Knows nothing of React. */
export class KeptList<T> extends Told {
  /** How many entries were left out because they are not valid. */
  readonly dropped: number;
  private items: readonly T[];
  private readonly key: string;

  /** Read what is kept under the key; entries that are not `valid` are left out. */
  constructor(key: string, valid: (item: unknown) => item is T) {
    super();
    this.key = key;
    const kept = recall(key);
    this.items = kept.filter(valid);
    this.dropped = kept.length - this.items.length;
  }

  readonly get = (): readonly T[] => this.items;

  set(items: readonly T[]): void {
    this.items = items;
    localStorage.setItem(this.key, JSON.stringify(items));
    this.tell();
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
