import { beforeEach, describe, expect, it } from "vitest";

import { newHistory, remember } from "./prompt-history";

describe("the prompt history", () => {
  beforeEach(() => localStorage.clear());

  it("puts the newest first and holds each prompt once", () => {
    expect(["ink", "neon", " ink "].reduce<readonly string[]>(remember, [])).toEqual(["ink", "neon"]);
  });

  it("holds twenty and takes no empty prompt", () => {
    const many = Array.from({ length: 25 }, (_, index) => `prompt ${index}`);
    const history = [...many, "  "].reduce<readonly string[]>(remember, []);
    expect(history).toHaveLength(20);
    expect(history[0]).toBe("prompt 24");
  });

  it("outlives a reload, and leaves out what is no prompt", () => {
    newHistory().set(["ink", "neon"]);
    expect(newHistory().get()).toEqual(["ink", "neon"]);
    localStorage.setItem("restyle.prompts", '["ink", 7, null, ""]');
    expect(newHistory().get()).toEqual(["ink"]);
    localStorage.setItem("restyle.prompts", "{");
    expect(newHistory().get()).toEqual([]);
  });
});
