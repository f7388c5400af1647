import type { Info, Style, StylePatch } from "@/api/client";
import { Store } from "@/store";

import { fits } from "./style-check";

export const DEFAULTS: Style = {
  prompt: "",
  negative_prompt: "",
  strength: 0.9,
  guidance_scale: 1.2,
  guidance: "auto",
  seed: 2,
  steps: 1,
  noise: "fixed",
  noise_warp: 1,
  deflicker: 0.6,
  deflicker_search: false,
  motion_noise: 0,
  blend_seed: 3,
  seed_blend: 0,
  travel: 0,
  similarity_filter: 0,
  bypass: false,
};

const KEPT = "restyle.style";
const FIRST = "Comic"; // of the presets: strong, and it suits most pictures
const AGAIN = 1000; // ms after which a server that was asked too fast takes messages again

export interface StyleState {
  style: Style;
  /** A change is on its way and not in force yet. */
  pending: boolean;
  /** The input frame from which the newest acknowledged change is in force. */
  frame: number | null;
  /** What the model did not understand of the prompt. */
  hint: string | null;
  /** Why the server did not take a change. */
  problem: string | null;
  /** What the server takes for a value that nobody chose. */
  defaults: Style;
  /** The kinds of noise that the server offers. */
  noises: readonly Style["noise"][];
}

/** What was asked and what the picture shows; kept over reloads. Knows nothing of React. */
export class StyleStore extends Store<StyleState> {
  private seq = 0;
  private appliedSeq = 0;
  private send: (seq: number, style: StylePatch) => boolean = () => false;
  private inForce: Style | null = null; // as the server said last
  private gathered: StylePatch | null = null; // what `together` sends
  private again = 0; // timer
  private untouched = localStorage.getItem(KEPT) === null; // a first visit, nobody chose anything yet

  constructor() {
    super({
      style: recall(), pending: false, frame: null, hint: null, problem: null, defaults: DEFAULTS,
      noises: ["fixed", "warped", "fresh"],
    });
  }

  readonly values = (): Style => this.view.style;

  useDefaults(info: Info): void {
    this.set({ defaults: info.defaults, noises: info.noises });
    if (this.untouched) this.begin(info);
    const { noise } = this.view.style;
    if (!info.noises.includes(noise)) this.change({ noise });
  }

  /** Somebody chooses: nothing is chosen for them any more. */
  readonly touch = (): void => {
    this.untouched = false;
  };

  change(wanted: StylePatch): void {
    this.touch();
    const patch = this.offered(wanted);
    const style = { ...this.view.style, ...patch } as Style;
    if (this.gathered) {
      Object.assign(this.gathered, patch);
      this.take({ style });
    } else this.take({ style, pending: this.post(patch), problem: null });
  }

  /** Send what `run` changes in one message: the server takes so many a second. */
  readonly together = (run: () => void): void => {
    const gathered = (this.gathered = {});
    try {
      run();
    } finally {
      this.gathered = null;
    }
    if (Object.keys(gathered).length > 0) this.change(gathered);
  };

  reset(): void {
    const { style, defaults } = this.view;
    this.change({ ...defaults, prompt: style.prompt });
  }

  /** Put one value back to the server's default. */
  resetOne(key: keyof Style): void {
    this.change({ [key]: this.view.defaults[key] });
  }

  /** A call is up: from now on changes go there. What changed while it was set up goes first. */
  connected(send: (seq: number, style: StylePatch) => boolean): void {
    this.send = send;
    this.set({ pending: this.post(this.view.style) });
  }

  /** The server says from which change on the picture is up to date. */
  applied(seq: number, frame: number, hint: string | null, style: Style): void {
    this.appliedSeq = Math.max(this.appliedSeq, seq);
    this.inForce = style;
    if (this.appliedSeq < this.seq) this.set({ frame, hint });
    else this.take({ pending: false, frame, hint, style });
  }

  /** The server did not take a change. Of those that came too fast others may be lost, too: all values go again. */
  refused(seq: number | null, problem: string, tooFast: boolean): void {
    if (tooFast) {
      this.seq += 1; // what is acknowledged until then is not all of it
      window.clearTimeout(this.again);
      this.again = window.setTimeout(() => this.change(this.view.style), AGAIN);
    } else this.appliedSeq = Math.max(this.appliedSeq, seq ?? this.seq);
    const { style } = this.view;
    if (this.appliedSeq < this.seq) this.set({ problem });
    else this.take({ pending: false, problem, style: this.inForce ?? style });
  }

  /** Somebody else changed the style. What is on its way from here comes back with it. */
  changed(frame: number, hint: string | null, style: Style): void {
    this.inForce = style;
    if (!this.view.pending) this.take({ frame, hint, style });
  }

  /** A first visit begins with a style that shows what this does, where the model has one. */
  private begin({ presets }: Info): void {
    const preset = presets.find(({ name }) => name === FIRST) ?? presets[0];
    if (preset) this.change({ prompt: preset.prompt });
  }

  /** Looks, links and what was kept may ask for noise that the operator left out. */
  private offered(patch: StylePatch): StylePatch {
    const { noises, defaults } = this.view;
    return !patch.noise || noises.includes(patch.noise) ? patch : { ...patch, noise: defaults.noise };
  }

  private post(patch: StylePatch): boolean {
    this.seq += 1;
    if (this.send(this.seq, patch)) return true;
    this.appliedSeq = this.seq; // nobody there: the next offer carries all values
    return false;
  }

  private take(change: Partial<StyleState> & { style: Style }): void {
    this.set(change);
    localStorage.setItem(KEPT, JSON.stringify({ ...change.style, bypass: false }));
  }
}

function recall(): Style {
  try {
    const kept = JSON.parse(localStorage.getItem(KEPT) ?? "{}") as Partial<Style>;
    const known = Object.entries(kept).filter(
      ([key, value]) => Object.hasOwn(DEFAULTS, key) && fits(key as keyof Style, value),
    );
    return { ...DEFAULTS, ...Object.fromEntries(known) };
  } catch {
    return DEFAULTS;
  }
}
