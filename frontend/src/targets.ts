import type { Target } from "@/midi/midi";
import type { Morph } from "@/play/morph";
import { STRINGS } from "@/strings";
import type { StyleStore } from "@/style/style-store";

type Range = [key: "strength" | "guidance_scale" | "steps" | "seed_blend" | "deflicker" | "noise_warp" | "travel", label: string, min: number, max: number, step: number];

/** In the steps of the sliders. */
const RANGES: Range[] = [
  ["strength", STRINGS.strength, 0, 1, 0.02],
  ["guidance_scale", STRINGS.guidance, 1, 3, 0.1],
  ["steps", STRINGS.steps, 1, 8, 1],
  ["seed_blend", STRINGS.seedBlend, 0, 1, 0.02],
  ["deflicker", STRINGS.deflicker, 0, 1, 0.05],
  ["noise_warp", STRINGS.noiseWarp, 0, 1, 0.05],
  ["travel", STRINGS.travel, 0, 10, 0.5],
];

/** What a knob, a pad or a key can move. */
export function targetsOf(style: StyleStore, morph: Morph): Target[] {
  return [
    ...RANGES.map(([key, label, min, max, step]): Target => ({
      id: key,
      label,
      kind: "range",
      set: (share) => style.change({ [key]: onStep(min + share * (max - min), step) }),
    })),
    { id: "morph", label: STRINGS.morph.slider, kind: "range", set: (share) => morph.move(onStep(share, 0.02)) },
    {
      id: "bypass",
      label: STRINGS.bypass,
      kind: "switch",
      set: (share) => style.change({ bypass: share > 0 }),
      toggle: () => style.change({ bypass: !style.values().bypass }),
    },
  ];
}

const onStep = (value: number, step: number): number => Math.round(Math.round(value / step) * step * 1000) / 1000;
