import { describe, expect, it } from "vitest";

import { entryAt, middle, steady } from "./steady";

describe("a steady mask", () => {
  it("shimmers a fifth as much as what comes in", () => {
    const mask = new Float32Array([0.5]);
    const seen: number[] = [];
    for (let frame = 0; frame < 60; frame++) {
      steady(mask, new Float32Array([frame % 2 ? 0.6 : 0.4]));
      seen.push(mask[0] ?? 0);
    }
    expect(Math.max(...seen) - Math.min(...seen)).toBeLessThan(0.2 / 4);
  });

  it("follows a movement at once", () => {
    const mask = new Float32Array([0, 1]);
    steady(mask, new Float32Array([1, 0]));
    expect([...mask]).toEqual([1, 0]);
  });

  it("arrives where the mask stays", () => {
    const mask = new Float32Array([0]);
    for (let frame = 0; frame < 60; frame++) steady(mask, new Float32Array([0.3]));
    expect(mask[0]).toBeCloseTo(0.3, 3);
  });
});

describe("entryAt", () => {
  const entries = [{ at: 10 }, { at: 20 }, { at: 30 }];
  it.each([
    [5, 10],
    [20, 20],
    [29, 20],
    [99, 30],
  ])("at %d is that of %d", (time, at) => {
    expect(entryAt(entries, time)).toEqual({ at });
  });
  it("is none where there are none", () => {
    const none: { at: number }[] = [];
    expect(entryAt(none, 1)).toBeUndefined();
  });
});

it("cuts the middle as the server does", () => {
  expect(middle(640, 480, 1)).toEqual({ x: 80, y: 0, width: 480, height: 480 });
  expect(middle(480, 640, 1)).toEqual({ x: 0, y: 80, width: 480, height: 480 });
  expect(middle(640, 480, 2)).toEqual({ x: 0, y: 80, width: 640, height: 320 });
});
