import type { Info } from "@/api/client";
import { type View, nextView } from "@/stage/views";

import { morph, player, style, timeline } from "./app-state";
import { toggleFullScreen } from "./full-screen";
import { useKeys } from "./keys";

/** The keys of the map in the help sheet that mean the page as a whole. */
export function useMap(info: Info | null, onView: (to: (view: View) => View) => void, onMirror: () => void): void {
  const preset = (step: number): void => {
    const prompts = info?.presets.map(({ prompt }) => prompt) ?? [];
    const at = prompts.indexOf(style.values().prompt);
    const next = prompts.at((at < 0 && step < 0 ? 0 : at) + step) ?? prompts[0];
    if (next !== undefined) style.change({ prompt: next });
  };
  const strength = (step: number): void =>
    style.change({ strength: Math.round(within(style.values().strength + step) * 100) / 100 });
  useKeys({
    b: () => style.change({ bypass: !style.values().bypass }),
    f: toggleFullScreen,
    v: () => onView(nextView),
    m: onMirror,
    n: () => preset(1),
    p: () => preset(-1),
    "+": () => strength(0.04),
    "=": () => strength(0.04), // the key of + without Shift
    "-": () => strength(-0.04),
    ",": () => morph.move(within(morph.get().at - 0.04)),
    ".": () => morph.move(within(morph.get().at + 0.04)),
    t: () => (player.get().playing ? player.stop() : player.play(timeline.get())),
  });
}

const within = (share: number): number => Math.min(1, Math.max(0, share));
