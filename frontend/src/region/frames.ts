import { onFrame } from "@/call/tracks";

import { middle } from "./steady";

export const nextFrame = (video: HTMLVideoElement): Promise<void> => new Promise((resolve) => onFrame(video, resolve));

export const pause = (ms: number): Promise<void> => new Promise((resolve) => window.setTimeout(resolve, ms));

export function canvasOf(width: number, height: number): HTMLCanvasElement {
  const canvas = document.createElement("canvas");
  canvas.width = width;
  canvas.height = height;
  return canvas;
}

/** Give a canvas another size; one that has it already keeps what is on it. */
export function fit(canvas: HTMLCanvasElement, width: number, height: number): void {
  if (width > 0 && canvas.width !== width) canvas.width = width;
  if (height > 0 && canvas.height !== height) canvas.height = height;
}

/** A canvas' context. `read`: pixels are read back often. Throws where there is none. */
export function contextOf(canvas: HTMLCanvasElement, read = false): CanvasRenderingContext2D {
  const context = canvas.getContext("2d", { willReadFrequently: read });
  if (!context) throw new Error("2d");
  return context;
}

/** Paint the middle of a picture of that size over a whole canvas. */
export function paint(canvas: HTMLCanvasElement, picture: CanvasImageSource, [wide, high]: [number, number]): void {
  const { x, y, width, height } = middle(wide, high, canvas.width / canvas.height);
  contextOf(canvas).drawImage(picture, x, y, width, height, 0, 0, canvas.width, canvas.height);
}
