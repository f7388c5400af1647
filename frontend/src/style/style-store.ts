import type { Info, Style, StylePatch } from "@/api/client";
import { Store } from "@/store";

export const DEFAULTS: Style = {
  prompt: "",
  negative_prompt: "",
  strength: 0.9,
  guidance_scale: 1.2,
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

export interface StyleState {
  style: Style;
  /** A change is on its way and not in force yet. */
  pending: boolean;
  /** The input frame from which the newest acknowledged change is in force. */
  frame: number | null;
  /** What the model did not understand of the prompt. */
  hint: string | null;
  /** What the server takes for a value that nobody chose. */
  defaults: Style;
}

/** What was asked and what the picture shows; kept over reloads. Knows nothing of React. */
export class StyleStore extends Store<StyleState> {
  private seq = 0;
  private appliedSeq = 0;
  private send: (seq: number, style: StylePatch) => boolean = () => false;

  constructor() {
    super({ style: recall(), pending: false, frame: null, hint: null, defaults: DEFAULTS });
  }

  readonly values = (): Style => this.view.style;

  useDefaults(info: Info): void {
    this.set({ defaults: info.defaults });
  }

  change(patch: StylePatch): void {
    const style = { ...this.view.style, ...patch } as Style;
    this.take({ style, pending: this.post(patch) });
  }

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
    if (this.appliedSeq < this.seq) this.set({ frame, hint });
    else this.take({ pending: false, frame, hint, style });
  }

  /** Somebody else changed the style. What is on its way from here comes back with it. */
  changed(frame: number, hint: string | null, style: Style): void {
    if (!this.view.pending) this.take({ frame, hint, style });
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
      ([key, value]) => key in DEFAULTS && typeof value === typeof DEFAULTS[key as keyof Style],
    );
    return { ...DEFAULTS, ...Object.fromEntries(known) };
  } catch {
    return DEFAULTS;
  }
}
