import type { Style } from "@/api/client";
import { Store } from "@/store";
import { KeptList } from "@/style/kept-list";
import { isLook, type Look } from "@/style/looks";
import type { StyleStore } from "@/style/style-store";

import { mixPrompts } from "./blend";

/** Mix two looks: 0 gives the one, 1 the other, exactly. Choices and switches change half way. */
export function mixLooks(one: Style, other: Style, share: number): Style {
  if (share <= 0) return one;
  if (share >= 1) return other;
  const near = share < 0.5 ? one : other;
  const between = (key: NumberKey): number => one[key] + (other[key] - one[key]) * share;
  const plain = one.seed_blend === 0 && other.seed_blend === 0;
  return {
    ...near,
    prompt: mixPrompts(one.prompt, other.prompt, share),
    negative_prompt: mixPrompts(one.negative_prompt, other.negative_prompt, share),
    strength: between("strength"),
    guidance_scale: between("guidance_scale"),
    steps: Math.round(between("steps")),
    noise_warp: between("noise_warp"),
    deflicker: between("deflicker"),
    travel: 0, // the slider is the way
    ...(plain && one.seed !== other.seed
      ? { seed: one.seed, blend_seed: other.seed, seed_blend: share }
      : {}),
  };
}

type NumberKey = { [key in keyof Style]: Style[key] extends number ? key : never }[keyof Style];

export interface MorphState {
  readonly a: Style | null;
  readonly b: Style | null;
  readonly at: number;
}

/** Two looks and where the picture is between them; the looks outlive a reload. */
export class Morph extends Store<MorphState> {
  private readonly ends: KeptList<Look>;
  private readonly store: StyleStore;

  constructor(store: StyleStore) {
    const ends = new KeptList<Look>("restyle.morph", isLook);
    const end = (name: string): Style | null => ends.get().find((each) => each.name === name)?.style ?? null;
    super({ a: end("a"), b: end("b"), at: 0 });
    this.ends = ends;
    this.store = store;
  }

  /** Make a look one end; the picture shows it, so that is where the slider is. */
  put(name: "a" | "b", style: Style): void {
    const look = { name, style: { ...style, bypass: false } };
    this.ends.set([...this.ends.get().filter((end) => end.name !== name), look]);
    this.set({ [name]: look.style, at: name === "a" ? 0 : 1 });
  }

  /** Go to a place between the two; nothing while an end is missing. */
  move(at: number): void {
    const { a, b } = this.view;
    if (!a || !b) return;
    const { bypass } = this.store.values();
    this.set({ at });
    this.store.change({ ...mixLooks(a, b, at), bypass });
  }
}
