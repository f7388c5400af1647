const STILL = 0.15; // share of a small change that is taken: edges that shimmer
const MOVES = 0.5; // a change from here on is a movement and is taken whole

/**
 * Move a mask towards the newest one in place, both 0 to 1: what shimmers hardly counts, what moves
 * counts at once, so that edges are steady and do not trail.
 */
export function steady(mask: Float32Array, newest: Float32Array): void {
  for (let at = 0; at < mask.length; at++) {
    const before = mask[at] ?? 0;
    const change = (newest[at] ?? 0) - before;
    const moved = Math.min(1, Math.abs(change) / MOVES);
    mask[at] = before + change * (STILL + (1 - STILL) * moved * moved);
  }
}

/** Choose the entry that was there at a time: the last one not after it; else the first. */
export function entryAt<T extends { at: number }>(entries: readonly T[], time: number): T | undefined {
  return entries.findLast(({ at }) => at <= time) ?? entries[0];
}

export interface Box {
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
}

/** The middle of a picture in another shape, as the server cuts it. */
export function middle(width: number, height: number, aspect: number): Box {
  const wide = Math.min(width, height * aspect);
  const high = wide / aspect;
  return { x: (width - wide) / 2, y: (height - high) / 2, width: wide, height: high };
}
