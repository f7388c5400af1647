import { describe, expect, it } from "vitest";

import { Brush, type Stroke } from "./brush";

const dot = (x: number, y: number, more: Partial<Stroke> = {}): Stroke => ({
  from: { x, y }, to: { x, y }, radius: 0.1, aspect: 1, erase: false, ...more,
});

describe("a brush", () => {
  it("covers its middle whole and fades at its edge", () => {
    const brush = new Brush();
    brush.stroke(dot(0.5, 0.5));
    expect(brush.at({ x: 0.5, y: 0.5 })).toBe(255);
    expect(brush.at({ x: 0.575, y: 0.5 })).toBeGreaterThan(30);
    expect(brush.at({ x: 0.575, y: 0.5 })).toBeLessThan(225);
    expect(brush.at({ x: 0.61, y: 0.5 })).toBe(0);
  });

  it("covers the whole way between two points", () => {
    const brush = new Brush();
    brush.stroke(dot(0.2, 0.2, { to: { x: 0.8, y: 0.6 } }));
    expect(brush.at({ x: 0.5, y: 0.4 })).toBe(255);
    expect(brush.at({ x: 0.5, y: 0.6 })).toBe(0);
  });

  it("is round in a wide picture", () => {
    const brush = new Brush();
    brush.stroke(dot(0.5, 0.5, { aspect: 2 }));
    expect(brush.at({ x: 0.5, y: 0.59 })).toBeGreaterThan(0);
    expect(brush.at({ x: 0.56, y: 0.5 })).toBe(0);
  });

  it("erases what is painted, and of nothing painted takes from everything", () => {
    const brush = new Brush();
    brush.stroke(dot(0.5, 0.5));
    brush.stroke(dot(0.5, 0.5, { erase: true }));
    expect(brush.at({ x: 0.5, y: 0.5 })).toBe(0);
    brush.clear();
    brush.stroke(dot(0.5, 0.5, { erase: true }));
    expect([brush.at({ x: 0.5, y: 0.5 }), brush.at({ x: 0.1, y: 0.1 })]).toEqual([0, 255]);
  });

  it("turns inside out", () => {
    const brush = new Brush();
    brush.stroke(dot(0.5, 0.5));
    brush.invert();
    expect([brush.at({ x: 0.5, y: 0.5 }), brush.at({ x: 0.1, y: 0.1 })]).toEqual([0, 255]);
    brush.clear();
    brush.invert();
    expect(brush.at({ x: 0.5, y: 0.5 })).toBe(0);
  });

  it("may leave the picture", () => {
    const brush = new Brush();
    brush.stroke(dot(-0.05, 1.02));
    expect(brush.at({ x: 0.001, y: 0.99 })).toBeGreaterThan(0);
  });
});
