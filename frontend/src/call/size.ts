/** Width and height of the restyled picture, in pixels. */
export interface Size {
  readonly width: number;
  readonly height: number;
}

/** What a person chose: the shorter side, and whether the picture is square or as the source is. */
export interface SizeChoice {
  readonly side: number;
  readonly shape: "square" | "source";
}

export const SIDES = [256, 384, 512, 768, 1024] as const;
const LEAST = 256;
const MOST = 1024; // what the server takes: PictureSize in its schema

/** The size that a choice means for a source, in steps that the model can. */
export function sizeFor({ side, shape }: SizeChoice, source: Size | null, step: number): Size {
  const aspect = shape === "source" && source ? source.width / source.height : 1;
  const inSteps = (pixels: number): number =>
    Math.min(floor(MOST, step), Math.max(ceil(LEAST, step), Math.round(pixels / step) * step));
  return { width: inSteps(side * Math.max(1, aspect)), height: inSteps(side / Math.min(1, aspect)) };
}

export const same = (one: Size | null, other: Size | null): boolean =>
  one?.width === other?.width && one?.height === other?.height;

/** What the source's picture measures, where the browser says so. */
export function sizeOf(stream: MediaStream | undefined): Size | null {
  const { width, height } = stream?.getVideoTracks()[0]?.getSettings() ?? {};
  return width && height ? { width, height } : null;
}

const floor = (pixels: number, step: number): number => Math.floor(pixels / step) * step;
const ceil = (pixels: number, step: number): number => Math.ceil(pixels / step) * step;
