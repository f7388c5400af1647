/** A microphone that is asked for once it is wanted, and given back also when the answer comes late. */
export class Microphone {
  private stream: MediaStream | null = null;
  private asked = 0; // counts what a person wanted; an answer to an earlier wish is stale

  get track(): MediaStreamTrack | null {
    return this.stream?.getAudioTracks()[0] ?? null;
  }

  /** Resolves to whether it is still wanted once the person has answered. Throws what the browser says. */
  async open(): Promise<boolean> {
    const asked = ++this.asked;
    if (this.stream) return true;
    let stream: MediaStream;
    try {
      stream = await navigator.mediaDevices.getUserMedia({ audio: true });
    } catch (error) {
      if (asked === this.asked) throw error;
      return false;
    }
    if (asked === this.asked) this.stream = stream;
    else release(stream);
    return asked === this.asked;
  }

  /** Let it go, one that is being asked for too. */
  drop(): void {
    this.asked += 1;
    if (this.stream) release(this.stream);
    this.stream = null;
  }
}

function release(stream: MediaStream): void {
  for (const track of stream.getTracks()) track.stop();
}
