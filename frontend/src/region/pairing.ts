import type { Size } from "@/call/size";
import { type Picture, readTrack, sizeOf } from "@/call/tracks";

import type { Brush } from "./brush";
import type { Finder } from "./finder";
import { canvasOf, contextOf, fit, paint } from "./frames";
import type { Region } from "./region";
import { SIDE } from "./segmenter";

const MARK = 64; // the mark is one part in so many of the width: streams/matte.py
const BANDS = ["#f0f", "#0f0", "#f0f", "#0f0"];

/** Gives the camera's picture with the matte of the same picture beside it, as a track to send. */
export class Pairing {
  readonly track: MediaStreamTrack;
  private stopReading: () => void = () => undefined;
  private readonly canvas = canvasOf(2, 2);
  private readonly newest = canvasOf(1, 1);
  private readonly seen = canvasOf(1, 1); // in which the person is looked for
  private readonly mask = canvasOf(SIDE, SIDE);
  private readonly matte = canvasOf(SIDE, SIDE);
  private readonly finder: Finder | null;
  private readonly brush: Brush;
  private readonly region: () => Region;
  private size: Size | null = null;
  private looking = false;
  private count = 0; // pictures
  private restUntil = 0;
  private running = true;

  /** `finder`: null where nobody is looked for. */
  constructor(finder: Finder | null, brush: Brush, region: () => Region) {
    this.finder = finder;
    this.brush = brush;
    this.region = region;
    contextOf(this.canvas);
    const [track] = this.canvas.captureStream().getVideoTracks(); // it sees each drawing by itself
    if (!track) throw new Error("captureStream");
    this.track = track;
  }

  /** Take the pictures of this camera from now on. `failed` is told when nobody can be found any more. */
  take(camera: MediaStreamTrack, failed: () => void): void {
    this.stopReading();
    this.stopReading = readTrack(camera, (picture) => void this.step(picture).catch(failed));
  }

  /** Send pictures of this size, which is that of the colour half. */
  resize(size: Size): void {
    this.size = size;
  }

  stop(): void {
    this.running = false;
    this.stopReading();
    this.track.stop();
  }

  /** A picture waits for its own matte. Where that takes longer than a picture lasts, the newest goes with the last one. */
  private async step(picture: Picture): Promise<void> {
    if (!this.size) return;
    const { width, height } = this.size;
    const [number, began] = [++this.count, performance.now()];
    if (!this.finder || this.looking || began < this.restUntil) {
      fit(this.newest, width, height);
      paint(this.newest, picture, sizeOf(picture));
      this.send(this.newest);
      return;
    }
    this.looking = true;
    fit(this.seen, width, height);
    paint(this.seen, picture, sizeOf(picture));
    await this.finder.find(this.seen, this.mask);
    this.looking = false;
    const now = performance.now();
    this.restUntil = now + (now - began);
    if (this.running && number === this.count) this.send(this.seen); // else a newer one has gone
  }

  private send(picture: HTMLCanvasElement): void {
    const { width, height } = picture;
    fit(this.canvas, 2 * width, height);
    const context = contextOf(this.canvas);
    context.drawImage(picture, 0, 0);
    this.drawMatte();
    context.fillStyle = "#000";
    context.fillRect(width, 0, width, height);
    context.drawImage(this.matte, width, 0, width, height);
    const mark = (2 * width) / MARK;
    BANDS.forEach((colour, band) => {
      context.fillStyle = colour;
      context.fillRect(2 * width - mark, (band * height) / BANDS.length, mark, height / BANDS.length);
    });
  }

  /** White where the style applies. */
  private drawMatte(): void {
    const { where, painted } = this.region();
    const context = contextOf(this.matte);
    context.globalCompositeOperation = "copy";
    context.fillStyle = "#fff";
    context.fillRect(0, 0, SIDE, SIDE);
    if (where !== "everywhere") {
      context.globalCompositeOperation = where === "person" ? "destination-in" : "destination-out";
      context.drawImage(this.mask, 0, 0);
    }
    if (painted) {
      context.globalCompositeOperation = "destination-in";
      context.drawImage(this.brush.canvas, 0, 0);
    }
  }
}
