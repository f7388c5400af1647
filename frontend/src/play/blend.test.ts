import { describe, expect, it } from "vitest";

import { mixPrompts, parseBlend, sharesOf, writeBlend } from "./blend";

describe("a blend", () => {
  it.each([
    ["ink", [["ink", 1]]],
    ["a street: 5 lamps", [["a street: 5 lamps", 1]]],
    ["salt and pepper", [["salt and pepper", 1]]],
    ["ink AND neon", [["ink", 1], ["neon", 1]]],
    ["ink:3 AND neon : 1", [["ink", 1], ["neon", 1 / 3]]],
    ["ink:.5 AND clay:1", [["ink", 0.5], ["clay", 1]]],
    ["BRAND new ANDES", [["BRAND new ANDES", 1]]],
    ["éAND ink", [["éAND ink", 1]]],
    ["ink:0 AND neon:0", [["ink", 0], ["neon", 0]]],
  ])("is read from %j", (prompt, parts) => {
    expect(parseBlend(prompt).map(({ text, weight }) => [text, weight])).toEqual(parts);
  });

  it("is written as the server reads it, and comes back", () => {
    const parts = [{ text: "ink ", weight: 1 }, { text: "", weight: 1 }, { text: "neon", weight: 0.35 }];
    expect(writeBlend(parts)).toBe("ink:1 AND neon:0.35");
    expect(parseBlend(writeBlend(parts))).toEqual([parts[0], parts[2]].map((part) => ({ ...part, text: part?.text.trim() })));
    expect(writeBlend([{ text: "ink", weight: 0.2 }])).toBe("ink");
    expect(writeBlend([])).toBe("");
  });

  it("has shares that make up the whole", () => {
    expect(sharesOf([{ text: "ink", weight: 1 }, { text: " ", weight: 1 }, { text: "neon", weight: 3 }])).toEqual([0.25, 0, 0.75]);
    expect(sharesOf([{ text: "ink", weight: 0 }])).toEqual([0]);
  });

  it("of two prompts goes from the one to the other", () => {
    expect(mixPrompts("ink", "neon", 0)).toBe("ink");
    expect(mixPrompts("ink", "neon", 1)).toBe("neon");
    expect(mixPrompts("ink", "ink", 0.5)).toBe("ink");
    expect(mixPrompts("ink", "neon", 0.25)).toBe("ink:0.75 AND neon:0.25");
    expect(mixPrompts("ink:1 AND clay:1", "clay", 0.5)).toBe("ink:0.25 AND clay:0.75");
  });

  it("of two long prompts is never longer than the server takes: the lightest part is left out", () => {
    const [one, other] = ["ink ".repeat(75).trim(), "neon ".repeat(60).trim()];
    expect(mixPrompts(one, other, 0.25)).toBe(one);
    expect(mixPrompts(one, other, 0.75)).toBe(other);
    expect(mixPrompts(`${one} AND clay`, other, 0.25)).toBe(`${one}:0.375 AND clay:0.375`);
  });
});
