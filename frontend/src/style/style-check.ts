import type { Style } from "@/api/client";
import { STRINGS } from "@/strings";

type Rule =
  | { kind: "text"; longest: number }
  | { kind: "number" | "whole"; min: number; max: number }
  | { kind: "choice"; of: readonly string[] }
  | { kind: "flag" };

const SEED: Rule = { kind: "whole", min: 0, max: 2 ** 32 - 1 };
const SHARE: Rule = { kind: "number", min: 0, max: 1 };

/** What the server takes for each value (StylePatch in schema.json). */
export const RULES: Record<keyof Style, Rule> = {
  prompt: { kind: "text", longest: 500 },
  negative_prompt: { kind: "text", longest: 500 },
  strength: SHARE,
  guidance_scale: { kind: "number", min: 1, max: 10 },
  guidance: { kind: "choice", of: ["auto", "none", "self", "initialize", "full"] },
  seed: SEED,
  steps: { kind: "whole", min: 1, max: 8 },
  noise: { kind: "choice", of: ["fixed", "warped", "fresh"] },
  noise_warp: SHARE,
  deflicker: SHARE,
  deflicker_search: { kind: "flag" },
  motion_noise: SHARE,
  blend_seed: SEED,
  seed_blend: SHARE,
  travel: { kind: "number", min: 0, max: 60 },
  similarity_filter: SHARE,
  bypass: { kind: "flag" },
};

/** A style from outside that is none; the message says what was given and what is allowed. */
export class NoStyle extends Error {}

/** Make a style of what came from outside; keys left out are taken from `base`. Throws NoStyle. */
export function checkStyle(given: unknown, base: Style): Style {
  if (typeof given !== "object" || given === null || Array.isArray(given)) {
    throw new NoStyle(STRINGS.wrong.noObject);
  }
  for (const [key, value] of Object.entries(given)) {
    if (!Object.hasOwn(RULES, key)) {
      throw new NoStyle(STRINGS.wrong.unknown(key, Object.keys(RULES).join(", ")));
    }
    const allowed = broken(RULES[key as keyof Style], value);
    if (allowed !== null) throw new NoStyle(STRINGS.wrong.value(key, shown(value), allowed));
  }
  return { ...base, ...given, bypass: false };
}

/** Say whether the server takes this value. */
export const fits = (key: keyof Style, value: unknown): boolean => broken(RULES[key], value) === null;

/** Say what is allowed, when the value is not. */
function broken(rule: Rule, value: unknown): string | null {
  switch (rule.kind) {
    case "text":
      return typeof value === "string" && value.length <= rule.longest
        ? null
        : STRINGS.wrong.text(rule.longest);
    case "choice":
      return typeof value === "string" && rule.of.includes(value) ? null : rule.of.join(", ");
    case "flag":
      return typeof value === "boolean" ? null : "true, false";
    default: {
      const number = rule.kind === "whole" ? Number.isInteger(value) : Number.isFinite(value);
      const within = number && (value as number) >= rule.min && (value as number) <= rule.max;
      return within ? null : STRINGS.wrong[rule.kind](rule.min, rule.max);
    }
  }
}

const shown = (value: unknown): string => {
  const text = JSON.stringify(value);
  return text.length > 60 ? `${text.slice(0, 60)}…` : text;
};
