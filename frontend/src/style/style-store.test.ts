import { beforeEach, describe, expect, it, vi } from "vitest";

import type { Info } from "@/api/client";

import { DEFAULTS, StyleStore } from "./style-store";

const NOISES: Info["noises"] = ["fixed", "warped", "fresh"];

describe("StyleStore", () => {
  beforeEach(() => localStorage.clear());

  it("is pending until the newest change is acknowledged", () => {
    const sent: number[] = [];
    const store = new StyleStore();
    store.connected((seq) => sent.push(seq) > 0);
    store.change({ strength: 0.5 });
    store.change({ strength: 0.6 });

    store.applied(sent[1] ?? 0, 10, null, { ...DEFAULTS, strength: 0.5 });
    expect(store.get()).toMatchObject({ pending: true, style: { strength: 0.6 } });
    store.applied(sent[2] ?? 0, 12, "nothing I know", { ...DEFAULTS, strength: 0.6 });
    expect(store.get()).toMatchObject({ pending: false, frame: 12, hint: "nothing I know" });
  });

  it("takes what somebody else changed, but nothing back that is on its way", () => {
    const store = new StyleStore();
    store.connected(() => true);
    store.changed(3, null, { ...DEFAULTS, prompt: "theirs" }); // the first patch is on its way
    expect(store.values().prompt).toBe("");
    store.applied(1, 4, null, { ...DEFAULTS, prompt: "theirs" }); // and carries their change
    expect(store.values().prompt).toBe("theirs");
    store.changed(9, "a hint", { ...DEFAULTS, steps: 3 });
    expect(store.get()).toMatchObject({ frame: 9, hint: "a hint", style: { prompt: "", steps: 3 } });
    expect(new StyleStore().values().steps).toBe(3);
  });

  it("puts a refused change back, says why, and takes again what others change", () => {
    const store = new StyleStore();
    store.connected(() => true);
    store.applied(1, 1, null, { ...DEFAULTS, prompt: "ink" });
    store.change({ negative_prompt: "x".repeat(501) });
    store.refused(2, "too long", false);
    expect(store.get()).toMatchObject({ pending: false, problem: "too long", style: { prompt: "ink", negative_prompt: "" } });
    store.changed(9, null, { ...DEFAULTS, prompt: "theirs" });
    expect(store.values().prompt).toBe("theirs");
    store.change({ steps: 2 });
    expect(store.get().problem).toBeNull();
  });

  it("sends all values again where they came too fast: the last one counts", () => {
    vi.useFakeTimers();
    const store = new StyleStore();
    const sent: object[] = [];
    store.connected((_, patch) => sent.push(patch) > 0);
    store.change({ strength: 0.3 });
    store.refused(2, "too many messages", true);
    store.applied(2, 3, null, DEFAULTS);
    expect(store.values().strength).toBe(0.3);
    vi.advanceTimersByTime(1000);
    expect(sent.at(-1)).toMatchObject({ prompt: "", strength: 0.3 });
    store.applied(4, 4, null, { ...DEFAULTS, strength: 0.3 });
    expect(store.get()).toMatchObject({ pending: false, problem: null });
    vi.useRealTimers();
  });

  it("sends what is changed together in one message", () => {
    const store = new StyleStore();
    const sent: object[] = [];
    store.connected((_, patch) => sent.push(patch) > 0);
    store.together(() => {
      store.change({ strength: 0.3 });
      store.change({ strength: 0.4, steps: 2 });
    });
    store.together(() => undefined);
    expect(sent.slice(1)).toEqual([{ strength: 0.4, steps: 2 }]);
  });

  it("begins a first visit with Comic, else with the first preset, and never over a choice", () => {
    const presets = ["Pencil", "Comic"].map((name) => ({ name, prompt: name.toLowerCase(), examples: [], thumbnail: null }));
    const info = (some: Info["presets"]): Info => ({ defaults: DEFAULTS, presets: some, noises: NOISES }) as Info;
    const first = new StyleStore();
    first.useDefaults(info(presets));
    expect(first.values().prompt).toBe("comic");

    localStorage.clear();
    const other = new StyleStore();
    other.useDefaults(info([]));
    expect(other.values().prompt).toBe("");
    other.useDefaults(info(presets.slice(0, 1)));
    expect(other.values().prompt).toBe("pencil");

    localStorage.clear();
    const typed = new StyleStore();
    typed.touch(); // it is committed later
    typed.useDefaults(info(presets));
    expect(typed.values().prompt).toBe("");
    typed.change({ prompt: "" }); // emptied on purpose
    const later = new StyleStore();
    later.useDefaults(info(presets));
    expect(later.values().prompt).toBe("");
  });

  it("asks for no noise that the server leaves out, whether it was kept or comes from a look", () => {
    const info = { defaults: DEFAULTS, presets: [] as Info["presets"], noises: ["fixed", "fresh"] } as Info;
    new StyleStore().change({ noise: "warped", strength: 0.3 });
    const store = new StyleStore();
    const sent: object[] = [];
    store.connected((_, patch) => sent.push(patch) > 0);
    store.useDefaults(info);
    expect(sent.at(-1)).toEqual({ noise: "fixed" });
    store.change({ noise: "warped", steps: 2 });
    expect(sent.at(-1)).toEqual({ noise: "fixed", steps: 2 });
    expect(store.values()).toMatchObject({ noise: "fixed", strength: 0.3, steps: 2 });
    store.change({ noise: "fresh" });
    expect(store.values().noise).toBe("fresh");
  });

  it("keeps values over a reload, but not bypass", () => {
    new StyleStore().change({ prompt: "ink", bypass: true });
    expect(new StyleStore().values()).toEqual({ ...DEFAULTS, prompt: "ink" });
  });

  it("ignores kept values that the server would not take", () => {
    localStorage.setItem("restyle.style", JSON.stringify({ prompt: "x".repeat(501), seed: "7", steps: 2, evil: 1 }));
    expect(new StyleStore().values()).toEqual({ ...DEFAULTS, steps: 2 });
  });

  it("sends all values to a new call", () => {
    const store = new StyleStore();
    store.change({ prompt: "ink" });
    let sent: object = {};
    store.connected((_, style) => {
      sent = style;
      return true;
    });
    expect(sent).toMatchObject({ prompt: "ink" });
  });

  it("resets everything but the prompt", () => {
    const store = new StyleStore();
    store.change({ prompt: "ink", strength: 0.1, seed: 9 });
    store.reset();
    expect(store.values()).toEqual({ ...DEFAULTS, prompt: "ink" });
  });

  it("puts one value back to the server's default and leaves the others", () => {
    const store = new StyleStore();
    store.useDefaults({ defaults: { ...DEFAULTS, strength: 0.7 }, presets: [] as Info["presets"], noises: NOISES } as Info);
    store.change({ strength: 0.1, steps: 3 });
    store.resetOne("strength");
    expect(store.values()).toEqual({ ...DEFAULTS, strength: 0.7, steps: 3 });
  });
});
