/** A microphone that is asked for once it is wanted, and given back also when the answer comes late. */
export class Microphone {
  private stream: MediaStream | null = null;
  private asked = 0; // counts what a person wanted; an answer to an earlier wish is stale

  get track(): MediaStreamTrack | null {
    return this.stream?.getAudioTracks()[0] ?? null;
  }

  /** Which one it is; empty where there is none or the browser does not say. */
  get deviceId(): string {
    return this.track?.getSettings().deviceId ?? "";
  }

  /**
   * Ask for one, by name or whichever the browser gives; one that is open goes on until another is there.
   * Resolves to whether it is still wanted once the person has answered. Throws what the browser says.
   */
  async open(deviceId?: string): Promise<boolean> {
    const asked = ++this.asked;
    if (this.stream && (deviceId === undefined || deviceId === this.deviceId)) return true;
    let stream: MediaStream;
    try {
      const audio = deviceId === undefined ? true : { deviceId: { exact: deviceId } };
      stream = await navigator.mediaDevices.getUserMedia({ audio });
    } catch (error) {
      if (asked === this.asked) throw error;
      return false;
    }
    if (asked !== this.asked) release(stream);
    else {
      if (this.stream) release(this.stream);
      this.stream = stream;
    }
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
