import { describe, expect, it } from "vitest";

// eslint-disable-next-line no-restricted-imports -- the server's own rules lie outside src
import schema from "../../schema.json";

import { RULES, checkStyle } from "./style-check";
import { readStyleLink, styleLink, withoutStyle } from "./style-link";
import { DEFAULTS } from "./style-store";

const STYLE = { ...DEFAULTS, prompt: "half neon & half 100% 'comic' #1 – été", steps: 3, seed: 9 };
const inLink = (style: unknown): string => `#style=${encodeURIComponent(JSON.stringify(style))}`;

describe("a style link", () => {
  it("brings the whole style back", () => {
    const { hash } = new URL(styleLink("https://restyle.test/", STYLE));
    expect(readStyleLink(hash, DEFAULTS)).toEqual(STYLE);
  });

  it("carries a style only", () => {
    localStorage.setItem("restyle.token", "secret");
    expect(styleLink("https://restyle.test/", { ...STYLE, bypass: true })).not.toMatch(
      /secret|token|bypass/,
    );
  });

  it("is nothing where the fragment has no style", () => {
    expect(readStyleLink("", DEFAULTS)).toBeNull();
    expect(readStyleLink("#code=abc", DEFAULTS)).toBeNull();
  });

  it("leaves the rest of the fragment when it is taken out", () => {
    expect(withoutStyle("#style=%7B%7D&code=a1")).toBe("#code=a1");
    expect(withoutStyle("#style=%7B%7D")).toBe("");
  });

  it.each([
    ["#style=%", /not readable/],
    ["#style=ink", /not readable/],
    [inLink([]), /holds no style values/],
    [inLink({ evil: 1 }), /'evil' is no style value; known are prompt,/],
    [inLink({ steps: 99 }), /steps is 99; allowed: a whole number from 1 to 8/],
    [inLink({ steps: 1.5 }), /steps is 1.5/],
    [inLink({ strength: "0.5" }), /strength is "0.5"; allowed: a number from 0 to 1/],
    [inLink({ noise: "loud" }), /noise is "loud"; allowed: fixed, warped, fresh/],
    [inLink({ prompt: "x".repeat(501) }), /allowed: a text of at most 500/],
  ])("says what is wrong in %s", (hash, message) => {
    expect(() => readStyleLink(hash, DEFAULTS)).toThrow(message);
  });
});

describe("the rules", () => {
  it("are those of the server", () => {
    const known = schema.components.schemas.StylePatch.properties;
    expect(Object.keys(RULES).sort()).toEqual(Object.keys(known).sort());
    for (const [key, rule] of Object.entries(RULES)) {
      const [allowed] = known[key as keyof typeof known].anyOf as Record<string, unknown>[];
      if ("min" in rule) expect(allowed).toMatchObject({ minimum: rule.min, maximum: rule.max });
      if ("longest" in rule) expect(allowed).toMatchObject({ maxLength: rule.longest });
      if ("of" in rule) expect(allowed).toMatchObject({ enum: rule.of });
    }
  });

  it("fill what is left out", () => {
    expect(checkStyle({ steps: 4 }, STYLE)).toEqual({ ...STYLE, steps: 4 });
  });
});
