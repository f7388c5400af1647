import { beforeEach, describe, expect, it } from "vitest";

import { RegionStore, isComposed } from "./region";

describe("a region", () => {
  beforeEach(() => sessionStorage.clear());

  it("is everywhere and composes nothing until somebody chooses", () => {
    expect(isComposed(new RegionStore().get())).toBe(false);
  });

  it("is the person once something is to be cut out", () => {
    const store = new RegionStore();
    store.change({ outside: "overlays" });
    expect(store.get()).toMatchObject({ where: "person", outside: "overlays" });
    store.change({ where: "everywhere" });
    expect(store.get().outside).toBe("camera");
  });

  it("may be what was painted alone", () => {
    const store = new RegionStore();
    store.change({ painted: true });
    store.change({ outside: "green" });
    expect(store.get()).toMatchObject({ where: "everywhere", outside: "green" });
    store.change({ painted: false });
    expect(store.get().outside).toBe("camera");
  });

  it("outlives a reload, without the tool in hand", () => {
    new RegionStore().change({ where: "background", outside: "nothing", tool: "paint" });
    expect(new RegionStore().get()).toMatchObject({ where: "background", outside: "nothing", tool: "off" });
    sessionStorage.setItem("restyle.region", '{"where": "moon", "outside": 3}');
    expect(new RegionStore().get()).toMatchObject({ where: "everywhere", outside: "camera" });
  });
});
