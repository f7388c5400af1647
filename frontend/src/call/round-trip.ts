const EVERY = 2000; // ms

/** How long a message takes to the server and back, asked again and again while a call is up. */
export class RoundTrip {
  private timer = 0;
  private seq = 0;
  private at = 0;

  /** Begin to ask. */
  begin(ping: (seq: number) => void): void {
    this.timer = window.setInterval(() => {
      this.at = performance.now();
      ping(++this.seq);
    }, EVERY);
  }

  end(): void {
    window.clearInterval(this.timer);
  }

  /** Give the milliseconds of the newest question; null for an answer to an older one. */
  answered(seq: number): number | null {
    return seq === this.seq ? performance.now() - this.at : null;
  }
}
