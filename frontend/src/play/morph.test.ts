import { beforeEach, describe, expect, it } from "vitest";

import { DEFAULTS, StyleStore } from "@/style/style-store";

import { Morph, mixLooks } from "./morph";

const A = { ...DEFAULTS, prompt: "ink", strength: 0.2, steps: 1, seed: 4, noise: "fixed" as const };
const B = { ...DEFAULTS, prompt: "neon", strength: 1, steps: 4, seed: 9, noise: "warped" as const, travel: 3 };

describe("mixLooks", () => {
  it("gives each look exactly at its end", () => {
    expect(mixLooks(A, B, 0)).toEqual(A);
    expect(mixLooks(A, B, 1)).toEqual(B);
  });

  it("mixes numbers, words and seeds; a choice changes half way", () => {
    const mixed = mixLooks(A, B, 0.25);
    expect(mixed).toMatchObject({
      prompt: "ink:0.75 AND neon:0.25", steps: 2, seed: 4, blend_seed: 9, seed_blend: 0.25, noise: "fixed", travel: 0,
    });
    expect(mixed.strength).toBeCloseTo(0.4);
    expect(mixLooks(A, B, 0.75).noise).toBe("warped");
  });

  it("leaves a seed alone that is on its way already", () => {
    const turned = { ...A, seed_blend: 0.5, blend_seed: 7 };
    expect(mixLooks(turned, B, 0.25)).toMatchObject({ seed: 4, blend_seed: 7, seed_blend: 0.5 });
    expect(mixLooks(turned, B, 0.75)).toMatchObject({ seed: 9, seed_blend: 0 });
  });
});

describe("Morph", () => {
  beforeEach(() => localStorage.clear());

  it("moves the style between its ends once it has both, and keeps them", () => {
    const store = new StyleStore();
    const morph = new Morph(store);
    morph.move(0.5);
    expect(store.values()).toEqual(DEFAULTS);

    morph.put("a", A);
    expect(morph.get().at).toBe(0);
    morph.put("b", { ...B, bypass: true });
    expect(morph.get().at).toBe(1);
    morph.move(0.5);
    expect(store.values()).toMatchObject({ prompt: "ink:0.5 AND neon:0.5", bypass: false });
    expect(new Morph(store).get()).toMatchObject({ a: A, b: B });
  });

  it("does not touch bypass, which is no part of a look", () => {
    const store = new StyleStore();
    const morph = new Morph(store);
    morph.put("a", A);
    morph.put("b", B);
    store.change({ bypass: true });
    morph.move(0.3);
    expect(store.values().bypass).toBe(true);
  });
});
