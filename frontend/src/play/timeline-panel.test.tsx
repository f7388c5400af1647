import { act } from "react";
import { type Root, createRoot } from "react-dom/client";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";

import { StyleStore } from "@/style/style-store";

import { Player, newTimeline } from "./timeline";
import { TimelinePanel } from "./timeline-panel";

describe("the timeline's panel", () => {
  let page: HTMLElement;
  let root: Root;

  beforeEach(() => {
    vi.stubGlobal("IS_REACT_ACT_ENVIRONMENT", true);
    localStorage.clear();
    const timeline = newTimeline();
    timeline.set([{ at: 0, prompt: "ink" }, { at: 4, prompt: "neon" }, { at: 8, prompt: "clay" }]);
    page = document.createElement("div");
    document.body.append(page);
    root = createRoot(page);
    const store = new StyleStore();
    const player = new Player(store);
    act(() => root.render(<TimelinePanel store={store} player={player} timeline={timeline} />));
  });
  afterEach(() => {
    act(() => root.unmount());
    page.remove();
    vi.unstubAllGlobals();
  });

  const field = (name: string): HTMLInputElement => {
    const found = page.querySelector<HTMLInputElement>(`[data-testid=${name}]`);
    if (!found) throw new Error(`no ${name}`);
    return found;
  };
  const type = (input: HTMLInputElement, text: string): void => {
    Object.getOwnPropertyDescriptor(HTMLInputElement.prototype, "value")?.set?.call(input, text);
    act(() => void input.dispatchEvent(new Event("input", { bubbles: true })));
  };
  const prompts = (): string[] => [0, 1, 2].map((index) => field(`key-prompt-${index}`).value);

  it("leaves the focus where the Tab key takes it when a time is typed", () => {
    const time = field("key-at-1");
    act(() => time.focus());
    type(time, "5");
    act(() => field("key-prompt-1").focus());
    expect(field("key-at-1").value).toBe("5");
    expect(document.activeElement).toBe(field("key-prompt-1"));
  });

  it("takes a time at Enter, and one that is none not at all", () => {
    const press = (key: string): void =>
      act(() => void field("key-at-0").dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true })));
    type(field("key-at-0"), "6");
    expect(prompts()).toEqual(["ink", "neon", "clay"]);
    press("Enter");
    expect(prompts()).toEqual(["neon", "ink", "clay"]);
    type(field("key-at-0"), "");
    press("Enter");
    expect(field("key-at-0").value).toBe("4");
  });
});
