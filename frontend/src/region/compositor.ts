import type { Cut } from "./cuts";
import { SIDE, type Segmenter } from "./segmenter";
import { entryAt, middle, steady } from "./steady";

/** A picture of the camera and its mask, kept until its restyled one has come back. */
interface Entry {
  at: number;
  picture: HTMLCanvasElement;
  mask: HTMLCanvasElement;
}

const KEPT = 24; // entries
const LONG_SIDE = 512; // pixels at least, so that the camera's part is sharp
const GREEN = "#00ff00"; // the colour that OBS's chroma key takes without a change

export interface Pictures {
  canvas: HTMLCanvasElement;
  input: HTMLVideoElement;
  output: HTMLVideoElement;
  /** Milliseconds from the camera's picture to its restyled one on the screen. */
  delay: () => number;
}

/** Puts the restyled picture and the camera's together by a mask of the person. */
export class Compositor {
  private cut: Cut = "person";
  private readonly pictures: Pictures;
  private readonly segmenter: Segmenter;
  private readonly entries: Entry[] = [];
  private readonly square = canvasOf(SIDE, SIDE);
  private readonly layer = canvasOf(1, 1);
  private readonly mask = new Float32Array(SIDE * SIDE);
  private readonly newest = new Float32Array(SIDE * SIDE);
  private running = true;

  constructor(pictures: Pictures, segmenter: Segmenter) {
    this.pictures = pictures;
    this.segmenter = segmenter;
  }

  /** Make masks, half of the time at most (without a GPU one takes long), and draw each restyled picture, until stopped. Throws. */
  async run(): Promise<void> {
    const draw = (): void => {
      if (!this.running) return;
      this.draw();
      onFrame(this.pictures.output, draw);
    };
    draw();
    do {
      await nextFrame(this.pictures.input);
      const began = performance.now();
      await this.look();
      await pause(performance.now() - began);
    } while (this.running);
  }

  show(cut: Cut): void {
    this.cut = cut;
  }

  stop(): void {
    this.running = false;
    this.segmenter.close();
  }

  private async look(): Promise<void> {
    const at = performance.now();
    const { input, canvas } = this.pictures;
    if (!this.running || input.videoWidth === 0) return;
    const entry = this.entries.length < KEPT ? newEntry() : (this.entries.shift() ?? newEntry());
    entry.at = at;
    fit(entry.picture, canvas.width, canvas.height);
    paint(entry.picture, input);
    paint(this.square, input, canvas.width / canvas.height);
    const found = await this.segmenter.segment(this.square);
    this.keep(found, entry.mask);
    this.entries.push(entry);
  }

  private keep(found: CanvasImageSource, into: HTMLCanvasElement): void {
    const context = contextOf(into);
    context.clearRect(0, 0, SIDE, SIDE);
    context.drawImage(found, 0, 0, SIDE, SIDE);
    const pixels = context.getImageData(0, 0, SIDE, SIDE);
    for (let at = 0; at < this.newest.length; at++) this.newest[at] = (pixels.data[at * 4 + 3] ?? 0) / 255;
    if (this.entries.length === 0) this.mask.set(this.newest);
    else steady(this.mask, this.newest);
    for (let at = 0; at < this.mask.length; at++) pixels.data[at * 4 + 3] = (this.mask[at] ?? 0) * 255;
    context.putImageData(pixels, 0, 0);
  }

  private draw(): void {
    const { canvas, output, delay } = this.pictures;
    if (output.videoWidth === 0) return;
    const scale = Math.max(1, LONG_SIDE / Math.max(canvas.clientWidth, canvas.clientHeight, 1));
    fit(canvas, Math.round(canvas.clientWidth * scale), Math.round(canvas.clientHeight * scale));
    fit(this.layer, canvas.width, canvas.height);
    const context = contextOf(canvas);
    const entry = entryAt(this.entries, performance.now() - delay());
    context.clearRect(0, 0, canvas.width, canvas.height);
    if (!entry) {
      paint(canvas, output);
      return;
    }
    if (this.cut === "background") paint(canvas, output);
    if (this.cut === "person") context.drawImage(entry.picture, 0, 0, canvas.width, canvas.height);
    if (this.cut === "green") {
      context.fillStyle = GREEN;
      context.fillRect(0, 0, canvas.width, canvas.height);
    }
    this.person(this.cut === "background" ? entry.picture : output, entry.mask);
    context.drawImage(this.layer, 0, 0);
    canvas.dataset.cut = this.cut;
  }

  /** Make the layer the person of a picture, on nothing. */
  private person(picture: HTMLCanvasElement | HTMLVideoElement, mask: HTMLCanvasElement): void {
    const context = contextOf(this.layer);
    context.globalCompositeOperation = "copy";
    if (picture instanceof HTMLVideoElement) paint(this.layer, picture);
    else context.drawImage(picture, 0, 0, this.layer.width, this.layer.height);
    context.globalCompositeOperation = "destination-in";
    context.drawImage(mask, 0, 0, this.layer.width, this.layer.height);
  }
}

/** Paint the middle of a video over a whole canvas, in an aspect of its own if it is given. */
function paint(canvas: HTMLCanvasElement, video: HTMLVideoElement, aspect = canvas.width / canvas.height): void {
  const { x, y, width, height } = middle(video.videoWidth, video.videoHeight, aspect);
  contextOf(canvas).drawImage(video, x, y, width, height, 0, 0, canvas.width, canvas.height);
}

function fit(canvas: HTMLCanvasElement, width: number, height: number): void {
  if (width > 0 && canvas.width !== width) canvas.width = width;
  if (height > 0 && canvas.height !== height) canvas.height = height;
}

function canvasOf(width: number, height: number): HTMLCanvasElement {
  const canvas = document.createElement("canvas");
  canvas.width = width;
  canvas.height = height;
  return canvas;
}

const newEntry = (): Entry => ({ at: 0, picture: canvasOf(1, 1), mask: canvasOf(SIDE, SIDE) });

function contextOf(canvas: HTMLCanvasElement): CanvasRenderingContext2D {
  const context = canvas.getContext("2d", { willReadFrequently: canvas.width === SIDE });
  if (!context) throw new Error("2d");
  return context;
}

/** Run at the next picture of a video; at the next repaint where a browser cannot tell. */
function onFrame(video: HTMLVideoElement, run: () => void): void {
  if ("requestVideoFrameCallback" in video) video.requestVideoFrameCallback(run);
  else requestAnimationFrame(run);
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => window.setTimeout(resolve, ms));

const nextFrame = (video: HTMLVideoElement): Promise<void> =>
  new Promise((resolve) => onFrame(video, resolve));
