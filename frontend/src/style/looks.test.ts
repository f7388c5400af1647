import { beforeEach, describe, expect, it } from "vitest";

import { type Look, newLooks, parseLooks, put, readLooks, writeLooks } from "./looks";
import { DEFAULTS } from "./style-store";

const INK: Look = { name: "Ink", style: { ...DEFAULTS, prompt: "ink", steps: 2 } };
const NEON: Look = { name: "neon", style: { ...DEFAULTS, prompt: "neon" } };
const file = (looks: unknown): string => JSON.stringify({ kind: "restyle-looks", version: 1, looks });

describe("looks", () => {
  beforeEach(() => localStorage.clear());

  it("come back from the file they were written to", () => {
    expect(parseLooks(writeLooks([INK, NEON]))).toEqual([INK, NEON]);
  });

  it("are not read from a file that is too large", async () => {
    const padded = (bytes: number): File => new File([writeLooks([INK]).padEnd(bytes)], "looks.json");
    await expect(readLooks(padded(1_000_000))).resolves.toEqual([INK]);
    await expect(readLooks(padded(1_000_001))).rejects.toThrow(/larger than 1 MB/);
  });

  it("are sorted, and a name is there once", () => {
    const again = { ...INK, style: NEON.style };
    expect([NEON, INK, again].reduce<readonly Look[]>(put, [])).toEqual([again, NEON]);
  });

  it("outlive a reload, without those that are none", () => {
    newLooks().set([INK, { name: "bad", style: { steps: 99 } } as unknown as Look]);
    const again = newLooks();
    expect(again.get()).toEqual([INK]);
    expect(again.dropped).toBe(1); // the panel says so
  });

  it.each([
    ["ink", /no JSON/],
    ["[]", /no file of saved looks/],
    ['{"kind": "other", "looks": []}', /no file of saved looks/],
    ['{"kind": "restyle-looks", "version": 2, "looks": []}', /version is 2; allowed: 1/],
    [file([INK, { name: " ", style: {} }]), /look 2: .*name/],
    [file([{ name: "x", style: { steps: 0 } }]), /look 1 'x': steps is 0; allowed: a whole number/],
    [file([{ name: "x" }]), /look 1 'x': it holds no style values/],
  ])("says what is wrong in %s", (text, message) => {
    expect(() => parseLooks(text)).toThrow(message);
  });
});
