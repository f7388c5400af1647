import type { StylePatch } from "@/api/client";
import { Told } from "@/store";
import { KeptList } from "@/style/kept-list";
import type { StyleStore } from "@/style/style-store";

import { mixPrompts } from "./blend";

/** A prompt and the second at which the picture has arrived at it. */
export interface Key {
  readonly at: number;
  readonly prompt: string;
}

export const LONGEST_LEG = 60; // seconds: the server's longest travel
const LATEST = 3600; // seconds
const LEAD = 300; // ms: frames that have to see where a leg begins before it begins
const SOON = 0.02; // s: timers may come a little early

export const newTimeline = (): KeptList<Key> => new KeptList("restyle.timeline", isKey);

/** Put a key in by its time: one at the same tenth of a second is replaced. */
export function putKey(keys: readonly Key[], key: Key): readonly Key[] {
  const at = Math.round(Math.min(Math.max(key.at, 0), LATEST) * 10) / 10;
  return [...keys.filter((other) => other.at !== at), { ...key, at }].sort((a, b) => a.at - b.at);
}

export const lengthOf = (keys: readonly Key[]): number => keys.at(-1)?.at ?? 0;

/** Say whether two keys that follow each other are further apart than the server travels. */
export const isFar = (keys: readonly Key[]): boolean =>
  keys.some(({ at }, index) => at - (keys[index - 1]?.at ?? at) > LONGEST_LEG);

/** The prompt at a time: between two keys, a mix of both. */
export function promptAt(keys: readonly Key[], time: number): string {
  const after = keys.find(({ at }) => at > time);
  const before = keys.findLast(({ at }) => at <= time);
  if (!before || !after) return (before ?? after)?.prompt ?? "";
  return mixPrompts(before.prompt, after.prompt, (time - before.at) / (after.at - before.at));
}

export interface Playing {
  readonly playing: boolean;
  /** Where it stands, in seconds. */
  readonly at: number;
  /** Begin again at the end. */
  readonly loop: boolean;
}

/**
 * Plays keys: each leg is one change of prompt with the server's travel, which moves every frame.
 * Where it starts or stops between two keys it shows their blend.
 */
export class Player extends Told {
  private again = true;
  private keys: readonly Key[] = [];
  private began = 0; // when second 0 was, as performance.now() counts
  private stoppedAt = 0;
  private playing = false;
  private timer = 0;
  private travel = 0; // of the style, to be put back
  private restoring = false; // it is about to be
  private sent: string | null = null;
  private readonly store: StyleStore;

  constructor(store: StyleStore) {
    super();
    this.store = store;
    store.subscribe(() => {
      // somebody chose a prompt: it is theirs now
      if (this.playing && store.values().prompt !== this.sent) this.halt();
    });
    window.addEventListener("pagehide", () => {
      if (this.playing) this.halt();
      if (this.restoring) this.restore(); // now: the page may not be there later
    });
  }

  get(): Playing {
    const { playing, again: loop } = this;
    return { playing, at: playing ? this.now() : this.stoppedAt, loop };
  }

  setLoop(loop: boolean): void {
    this.again = loop;
    this.tell();
  }

  /** Play from where it stands; from the start, if that is the end. Nothing for keys that are no way. */
  play(keys: readonly Key[]): void {
    if (keys.length < 2 || isFar(keys) || this.playing) return;
    this.keys = keys;
    if (!this.restoring) this.travel = this.store.values().travel;
    this.playing = true;
    this.run(this.stoppedAt < lengthOf(keys) - SOON ? this.stoppedAt : 0);
  }

  /** Hold the picture as it is on its way. */
  stop(): void {
    if (!this.playing) return;
    const at = this.now();
    this.send({ prompt: promptAt(this.keys, at), travel: 0 });
    this.halt(at, LEAD); // at once both would be one change
  }

  /** Go to a time; a stopped one shows what is there. */
  seek(keys: readonly Key[], at: number): void {
    this.keys = keys;
    if (this.playing) this.run(at);
    else {
      this.stoppedAt = at;
      this.store.change({ prompt: promptAt(keys, at) });
      this.tell();
    }
  }

  private run(at: number): void {
    window.clearTimeout(this.timer);
    this.restoring = false;
    this.began = performance.now() - at * 1000;
    this.send({ prompt: promptAt(this.keys, at), travel: 0 });
    this.timer = window.setTimeout(() => this.leg(), LEAD);
    this.tell();
  }

  private leg(): void {
    const at = this.now();
    const next = this.keys.find((key) => key.at > at + SOON);
    if (next) {
      const takes = Math.round((next.at - at) * 1000) / 1000;
      this.send({ prompt: next.prompt, travel: Math.min(takes, LONGEST_LEG) });
      this.timer = window.setTimeout(() => this.leg(), takes * 1000);
    } else if (this.again) this.run(0);
    else this.halt(lengthOf(this.keys));
  }

  private send(patch: StylePatch & { prompt: string }): void {
    this.sent = patch.prompt;
    this.store.change(patch);
  }

  private halt(at = this.now(), restoreAfter = 0): void {
    window.clearTimeout(this.timer);
    this.playing = false;
    this.stoppedAt = Math.min(at, lengthOf(this.keys));
    this.restoring = true;
    this.timer = window.setTimeout(() => this.restore(), restoreAfter);
    this.tell();
  }

  private restore(): void {
    window.clearTimeout(this.timer);
    this.restoring = false;
    this.store.change({ travel: this.travel });
  }

  private now(): number {
    return Math.min((performance.now() - this.began) / 1000, lengthOf(this.keys));
  }
}

function isKey(item: unknown): item is Key {
  if (typeof item !== "object" || item === null) return false;
  const { at, prompt } = item as Record<string, unknown>;
  return typeof prompt === "string" && typeof at === "number" && at >= 0 && at <= LATEST;
}
