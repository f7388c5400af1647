/** What a part of the page shows, and whom to tell when it changes. Knows nothing of React. */
export class Store<View extends object> {
  protected view: View;
  private readonly listeners = new Set<() => void>();

  constructor(view: View) {
    this.view = view;
  }

  readonly get = (): View => this.view;

  readonly subscribe = (listener: () => void): (() => void) => {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  };

  protected set(change: Partial<View>): void {
    this.view = { ...this.view, ...change };
    for (const listener of this.listeners) listener();
  }
}
