export const SIDE = 256; // pixels of the mask, whatever shape the picture has

export interface Point {
  readonly x: number;
  readonly y: number;
}

export interface Stroke {
  /** Both ends, as shares of the picture's width and height. */
  readonly from: Point;
  readonly to: Point;
  /** As a share of the picture's height. */
  readonly radius: number;
  /** Width by height of the picture, so that the brush is round. */
  readonly aspect: number;
  readonly erase: boolean;
}

const HARD = 0.5; // share of the radius that is covered whole; further out it fades

/** Draw a stroke with a soft edge into a mask [SIDE × SIDE], 0 to 255. */
export function draw(mask: Uint8ClampedArray, stroke: Stroke): void {
  const { from, to, radius, aspect, erase } = stroke;
  const along = { x: (to.x - from.x) * aspect, y: to.y - from.y };
  const length = along.x ** 2 + along.y ** 2;
  const [left, right] = span(from.x, to.x, radius / aspect);
  const [top, bottom] = span(from.y, to.y, radius);
  for (let row = top; row < bottom; row++) {
    for (let column = left; column < right; column++) {
      const x = ((column + 0.5) / SIDE - from.x) * aspect;
      const y = (row + 0.5) / SIDE - from.y;
      const way = length === 0 ? 0 : within((x * along.x + y * along.y) / length);
      const away = Math.hypot(x - way * along.x, y - way * along.y) / radius;
      const fade = within((1 - away) / (1 - HARD));
      const covered = 255 * fade * fade * (3 - 2 * fade);
      const at = row * SIDE + column;
      const before = mask[at] ?? 0;
      mask[at] = erase ? Math.min(before, 255 - covered) : Math.max(before, covered);
    }
  }
}

const within = (share: number): number => Math.min(1, Math.max(0, share));

function span(one: number, other: number, radius: number): [number, number] {
  const first = Math.floor((Math.min(one, other) - radius) * SIDE);
  const last = Math.ceil((Math.max(one, other) + radius) * SIDE);
  return [Math.max(0, first), Math.min(SIDE, last)];
}

const KEPT = "restyle.brush";

/** A mask that somebody paints. Knows nothing of React; `canvas` has it as its alpha. */
export class Brush {
  readonly canvas = document.createElement("canvas");
  /** Counts changes. */
  version = 0;
  private readonly mask = new Uint8ClampedArray(SIDE * SIDE);
  private blank = true;

  constructor() {
    this.canvas.width = this.canvas.height = SIDE;
  }

  /** Where nothing was painted yet the style applies everywhere, so erasing begins with all of it. */
  stroke(stroke: Stroke): void {
    if (this.blank && stroke.erase) this.mask.fill(255);
    draw(this.mask, stroke);
    this.changed(false);
  }

  clear(): void {
    this.mask.fill(0);
    this.changed(true);
    sessionStorage.removeItem(KEPT);
  }

  /** Of nothing painted, which means everywhere, the inverse is nothing. */
  invert(): void {
    if (!this.blank) for (let at = 0; at < this.mask.length; at++) this.mask[at] = 255 - (this.mask[at] ?? 0);
    this.changed(false);
  }

  /** Keep what is painted over a reload. */
  keep(): void {
    if (!this.blank) sessionStorage.setItem(KEPT, this.canvas.toDataURL());
  }

  /** Take up what was kept. */
  async recall(): Promise<void> {
    const kept = sessionStorage.getItem(KEPT);
    if (kept === null) return;
    const image = new Image();
    image.src = kept;
    await image.decode();
    const context = this.canvas.getContext("2d");
    if (!context) return;
    context.drawImage(image, 0, 0);
    const { data } = context.getImageData(0, 0, SIDE, SIDE);
    for (let at = 0; at < this.mask.length; at++) this.mask[at] = data[at * 4 + 3] ?? 0;
    this.changed(false);
  }

  /** How much is covered at a place, 0 to 255. */
  at({ x, y }: Point): number {
    return this.mask[Math.floor(y * SIDE) * SIDE + Math.floor(x * SIDE)] ?? 0;
  }

  private changed(blank: boolean): void {
    this.blank = blank;
    this.version += 1;
    const context = this.canvas.getContext("2d", { willReadFrequently: true });
    if (!context) return; // no canvas here: nothing shows the mask
    const pixels = context.createImageData(SIDE, SIDE);
    pixels.data.fill(255);
    for (let at = 0; at < this.mask.length; at++) pixels.data[at * 4 + 3] = this.mask[at] ?? 0;
    context.putImageData(pixels, 0, 0);
  }
}
