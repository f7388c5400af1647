import { onFrame } from "@/call/tracks";

import type { Brush } from "./brush";
import type { Finder } from "./finder";
import { canvasOf, fit, nextFrame, paint, pause } from "./frames";
import type { Region } from "./region";
import { type Parts, regionDrawer } from "./region-drawer";
import { SIDE } from "./segmenter";
import { entryAt } from "./steady";

/** A picture of the camera and its mask, kept until its restyled one has come back. */
interface Entry {
  at: number;
  picture: HTMLCanvasElement;
  mask: HTMLCanvasElement;
  /** The mask is of this picture. */
  found: boolean;
}

const KEPT = 24; // entries
const LONG_SIDE = 640; // pixels, as most cameras give

export interface Pictures {
  canvas: HTMLCanvasElement;
  input: HTMLVideoElement;
  output: HTMLVideoElement;
  /** Milliseconds from the camera's picture to its restyled one on the screen. */
  delay: () => number;
}

/** Puts the restyled picture and the camera's together where the style does not apply everywhere. */
export class Compositor {
  /** What finds people; null: nobody is looked for, or it is not there yet. */
  finder: Finder | null = null;
  private readonly pictures: Pictures;
  private readonly brush: Brush;
  private readonly region: () => Region;
  private readonly drawParts: (parts: Parts) => void;
  private readonly entries: Entry[] = [];
  private running = true;

  /** Throws where there is no WebGL. */
  constructor(pictures: Pictures, brush: Brush, region: () => Region) {
    this.pictures = pictures;
    this.brush = brush;
    this.region = region;
    this.drawParts = regionDrawer(pictures.canvas);
  }

  /**
   * Keep the camera's pictures, look for people half of the time at most (without a GPU one takes long), and draw
   * each result, until stopped. `failed` is told when nobody can be found any more: all of the result is shown then.
   */
  async run(failed: () => void): Promise<void> {
    const draw = (): void => {
      if (!this.running) return;
      this.draw();
      onFrame(this.pictures.output, draw);
    };
    draw();
    do {
      await nextFrame(this.pictures.input);
      const began = performance.now();
      const { finder } = this;
      await this.look().catch(() => {
        if (finder?.closed || finder !== this.finder) return; // it was given back while it looked
        this.finder = null;
        failed();
      });
      if (this.finder) await pause(performance.now() - began);
    } while (this.running);
  }

  /** Draw what is there now, also between two pictures. */
  draw(): void {
    const { canvas, output, delay } = this.pictures;
    if (output.videoWidth === 0) return;
    const scale = LONG_SIDE / Math.max(canvas.clientWidth, canvas.clientHeight, 1);
    fit(canvas, Math.round(canvas.clientWidth * scale), Math.round(canvas.clientHeight * scale));
    const { where, outside, painted } = this.region();
    const entry = entryAt(this.entries, performance.now() - delay());
    const known = entry !== undefined && (where === "everywhere" || entry.found);
    this.drawParts({
      result: output,
      camera: entry?.picture ?? null,
      person: entry?.mask ?? null,
      brush: known && painted ? this.brush.canvas : null,
      where: known ? where : "everywhere",
      outside,
    });
    canvas.dataset.drawn = known ? [where, outside, ...(painted ? ["painted"] : [])].join(" ") : "";
  }

  stop(): void {
    this.running = false;
  }

  private async look(): Promise<void> {
    const { input, canvas } = this.pictures;
    const { where, outside } = this.region();
    if (!this.running || input.videoWidth === 0 || outside === "overlays") return;
    const entry = this.entries.length < KEPT ? newEntry() : (this.entries.shift() ?? newEntry());
    entry.at = performance.now();
    fit(entry.picture, canvas.width, canvas.height);
    paint(entry.picture, input, [input.videoWidth, input.videoHeight]);
    entry.found = where !== "everywhere" && this.finder !== null;
    if (entry.found) await this.finder?.find(entry.picture, entry.mask);
    this.entries.push(entry);
  }
}

const newEntry = (): Entry => ({ at: 0, picture: canvasOf(1, 1), mask: canvasOf(SIDE, SIDE), found: false });
