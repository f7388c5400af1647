import { canvasOf, contextOf } from "./frames";
import { SIDE, type Segmenter, loadSegmenter } from "./segmenter";
import { steady } from "./steady";

/** Finds the person in pictures that follow each other, with an edge that does not shimmer. */
export class Finder {
  /** It was given back: what it was looking for is not found any more. */
  closed = false;
  private readonly segmenter: Segmenter;
  private readonly square = canvasOf(SIDE, SIDE);
  private readonly mask = new Float32Array(SIDE * SIDE);
  private readonly newest = new Float32Array(SIDE * SIDE);
  private begun = false;

  constructor(segmenter: Segmenter) {
    this.segmenter = segmenter;
  }

  /** Load what finds people. Throws where there is no WebGL. */
  static async load(): Promise<Finder> {
    return new Finder(await loadSegmenter());
  }

  /** Put the mask of a picture into a canvas as its alpha. One at a time. Rejects when there will be none. */
  async find(picture: HTMLCanvasElement, into: HTMLCanvasElement): Promise<void> {
    contextOf(this.square).drawImage(picture, 0, 0, SIDE, SIDE);
    const found = await this.segmenter.segment(this.square);
    const context = contextOf(into, true);
    context.clearRect(0, 0, SIDE, SIDE);
    context.drawImage(found, 0, 0, SIDE, SIDE);
    const pixels = context.getImageData(0, 0, SIDE, SIDE);
    for (let at = 0; at < this.newest.length; at++) this.newest[at] = (pixels.data[at * 4 + 3] ?? 0) / 255;
    if (this.begun) steady(this.mask, this.newest);
    else this.mask.set(this.newest);
    this.begun = true;
    for (let at = 0; at < this.mask.length; at++) pixels.data[at * 4 + 3] = (this.mask[at] ?? 0) * 255;
    context.putImageData(pixels, 0, 0);
  }

  close(): void {
    this.closed = true;
    this.segmenter.close();
  }
}
