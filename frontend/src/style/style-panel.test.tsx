import { act } from "react";
import { createRoot } from "react-dom/client";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";

import type { Info } from "@/api/client";

import { StylePanel } from "./style-panel";
import { DEFAULTS, StyleStore } from "./style-store";

describe("the style panel", () => {
  beforeEach(() => {
    localStorage.clear();
    vi.stubGlobal("IS_REACT_ACT_ENVIRONMENT", true);
  });
  afterEach(() => vi.unstubAllGlobals());

  it("offers the kinds of noise that the server has", () => {
    const store = new StyleStore();
    const page = document.createElement("div");
    const root = createRoot(page);
    const offered = (): string[] =>
      [...page.querySelectorAll<HTMLOptionElement>("[data-testid=noise] option")].map(({ value }) => value);
    act(() => root.render(<StylePanel store={store} info={null} />));
    expect(offered()).toEqual(["fixed", "warped", "fresh"]);
    const info = { defaults: DEFAULTS, presets: [] as Info["presets"], noises: ["fixed", "fresh"] } as Info;
    act(() => store.useDefaults(info));
    expect(offered()).toEqual(["fixed", "fresh"]);
    act(() => root.unmount());
  });
});
