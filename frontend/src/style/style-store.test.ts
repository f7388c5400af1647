import { beforeEach, describe, expect, it } from "vitest";

import type { Info } from "@/api/client";

import { DEFAULTS, StyleStore } from "./style-store";

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

  it("keeps values over a reload, but not bypass", () => {
    new StyleStore().change({ prompt: "ink", bypass: true });
    expect(new StyleStore().values()).toEqual({ ...DEFAULTS, prompt: "ink" });
  });

  it("ignores kept values of a wrong type", () => {
    localStorage.setItem("restyle.style", '{"prompt": 7, "steps": 2, "evil": 1}');
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
    store.useDefaults({ defaults: { ...DEFAULTS, strength: 0.7 } } as Info);
    store.change({ strength: 0.1, steps: 3 });
    store.resetOne("strength");
    expect(store.values()).toEqual({ ...DEFAULTS, strength: 0.7, steps: 3 });
  });
});
