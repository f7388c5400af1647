/** Tells whoever asked that something changed. Knows nothing of React. */
export class Told {
  private readonly listeners = new Set<() => void>();

  readonly subscribe = (listener: () => void): (() => void) => {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  };

  protected tell(): void {
    for (const listener of this.listeners) listener();
  }
}

/** What a part of the page shows, and whom to tell when it changes. */
export class Store<View extends object> extends Told {
  protected view: View;

  constructor(view: View) {
    super();
    this.view = view;
  }

  readonly get = (): View => this.view;

  protected set(change: Partial<View>): void {
    this.view = { ...this.view, ...change };
    this.tell();
  }
}
