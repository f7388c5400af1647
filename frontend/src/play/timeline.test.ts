import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";

import type { StylePatch } from "@/api/client";
import { StyleStore } from "@/style/style-store";

import { Player, promptAt, putKey } from "./timeline";

const KEYS = [
  { at: 0, prompt: "ink" },
  { at: 4, prompt: "neon" },
  { at: 6, prompt: "clay" },
];

describe("keys", () => {
  it("stand in order, one at a time", () => {
    expect(putKey(KEYS, { at: 4.04, prompt: "gold" }).map(({ prompt }) => prompt)).toEqual(["ink", "gold", "clay"]);
    expect(putKey(KEYS, { at: -3, prompt: "gold" })[0]).toEqual({ at: 0, prompt: "gold" });
  });

  it.each([
    [0, "ink"],
    [1, "ink:0.75 AND neon:0.25"],
    [4, "neon"],
    [5, "neon:0.5 AND clay:0.5"],
    [9, "clay"],
  ])("give at second %d the prompt %j", (time, prompt) => expect(promptAt(KEYS, time)).toBe(prompt));

  it("that begin late hold their first prompt until then, and none gives none", () => {
    expect(promptAt(KEYS.slice(1), 1)).toBe("neon");
    expect(promptAt([], 1)).toBe("");
  });
});

describe("Player", () => {
  beforeEach(() => {
    localStorage.clear();
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance"] });
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  const setUp = (): { store: StyleStore; player: Player; sent: StylePatch[] } => {
    const store = new StyleStore();
    store.change({ travel: 2 });
    const sent: StylePatch[] = [];
    store.connected((_, patch) => sent.push(patch) > 0);
    sent.length = 0;
    return { store, player: new Player(store), sent };
  };

  it("makes each leg one travel that arrives on time, and loops", () => {
    const { player, sent } = setUp();
    player.play(KEYS);
    vi.advanceTimersByTime(6300);
    expect(sent).toEqual([
      { prompt: "ink", travel: 0 },
      { prompt: "neon", travel: 3.7 }, // 0.3 s late, so it takes less
      { prompt: "clay", travel: 2 },
      { prompt: "ink", travel: 0 },
      { prompt: "neon", travel: 3.7 },
    ]);
    expect(player.get().at).toBeCloseTo(0.3);
  });

  it("ends on the last prompt without a loop, and puts the style's own travel back", () => {
    const { store, player } = setUp();
    player.setLoop(false);
    player.play(KEYS);
    vi.advanceTimersByTime(7000);
    expect(player.get()).toEqual({ playing: false, at: 6, loop: false });
    expect(store.values()).toMatchObject({ prompt: "clay", travel: 2 });
  });

  it("holds the picture where it is stopped and goes on from there", () => {
    const { store, player, sent } = setUp();
    player.play(KEYS);
    vi.advanceTimersByTime(5000);
    player.stop();
    expect(sent.at(-1)).toEqual({ prompt: "neon:0.5 AND clay:0.5", travel: 0 });
    vi.advanceTimersByTime(5000);
    expect(store.values().travel).toBe(2);

    player.play(KEYS);
    vi.advanceTimersByTime(400);
    expect(sent.at(-1)).toEqual({ prompt: "clay", travel: 0.7 });
    vi.advanceTimersByTime(1);
    player.stop();
    player.play(KEYS); // before the travel was put back
    player.stop();
    vi.advanceTimersByTime(300);
    expect(store.values().travel).toBe(2);
  });

  it("gives way to a prompt that somebody chooses", () => {
    const { store, player } = setUp();
    player.play(KEYS);
    vi.advanceTimersByTime(1000);
    store.change({ prompt: "mine" });
    expect(player.get().playing).toBe(false);
    vi.advanceTimersByTime(9000);
    expect(store.values()).toMatchObject({ prompt: "mine", travel: 2 });
  });

  it.each([
    ["a single key", KEYS.slice(0, 1)],
    ["keys that are further apart than the server travels", [...KEYS, { at: 66.1, prompt: "gold" }]],
  ])("does not play %s", (_, keys) => {
    const { player, sent } = setUp();
    player.play(keys);
    expect(player.get().playing).toBe(false);
    expect(sent).toEqual([]);
  });

  it("seeks while it stands and while it plays", () => {
    const { player, sent } = setUp();
    player.seek(KEYS, 5);
    expect(sent.at(-1)).toEqual({ prompt: "neon:0.5 AND clay:0.5" });
    player.play(KEYS);
    player.seek(KEYS, 3);
    vi.advanceTimersByTime(300);
    expect(sent.at(-1)).toEqual({ prompt: "neon", travel: 0.7 });
  });

  it("keeps the travel of the style for a page that is reloaded while it plays", () => {
    const store = new StyleStore();
    store.change({ travel: 2 });
    const player = new Player(store);
    player.play(KEYS);
    vi.advanceTimersByTime(1000);
    expect(new StyleStore().values().travel).not.toBe(2);
    window.dispatchEvent(new Event("pagehide"));
    expect(new StyleStore().values().travel).toBe(2);
    expect(player.get().playing).toBe(false);
  });
});
