import { type Picture, readTrack, sizeOf } from "@/call/tracks";

/**
 * What is shown, as a stream whose tracks never change: a recorder ends with the first change, and the
 * picture's track changes with the region, its sound with what is chosen, both with a new call.
 */
export class OwnStream {
  readonly stream: MediaStream;
  private readonly canvas: HTMLCanvasElement;
  private readonly audio = new AudioContext();
  private readonly sound = this.audio.createMediaStreamDestination();
  private heard: MediaStreamAudioSourceNode | null = null;
  private picture: MediaStreamTrack | null = null;
  private voice: MediaStreamTrack | null = null;
  private stopReading: () => void = () => undefined;

  /** `canvas` has the first picture. Throws where the browser gives no such stream. */
  constructor(shown: MediaStream, canvas: HTMLCanvasElement) {
    this.canvas = canvas;
    this.stream = new MediaStream([...canvas.captureStream().getTracks(), ...this.sound.stream.getTracks()]);
    const silence = this.audio.createConstantSource(); // a recorder waits for sound that does not come
    silence.offset.value = 0;
    silence.connect(this.sound);
    silence.start();
    this.show(shown);
  }

  /** Go on with these tracks; null: hold the picture, in silence. */
  show(shown: MediaStream | null): void {
    const picture = shown?.getVideoTracks()[0] ?? null;
    const voice = shown?.getAudioTracks()[0] ?? null;
    if (picture !== this.picture) {
      this.stopReading();
      this.picture = picture;
      this.stopReading = picture ? readTrack(picture, (frame) => this.draw(frame)) : () => undefined;
    }
    if (voice !== this.voice) {
      this.heard?.disconnect();
      this.voice = voice;
      this.heard = voice && this.audio.createMediaStreamSource(new MediaStream([voice]));
      this.heard?.connect(this.sound);
    }
  }

  close(): void {
    this.show(null);
    for (const track of this.stream.getTracks()) track.stop();
    void this.audio.close();
  }

  /** The whole picture in the frame that the recording began with, whatever size it has by now. */
  private draw(frame: Picture): void {
    const { width, height } = this.canvas;
    const [wide, high] = sizeOf(frame);
    const scale = Math.min(width / wide, height / high);
    const context = this.canvas.getContext("2d");
    context?.clearRect(0, 0, width, height);
    context?.drawImage(frame, (width - wide * scale) / 2, (height - high * scale) / 2, wide * scale, high * scale);
  }
}
