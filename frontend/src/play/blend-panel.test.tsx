import { act } from "react";
import { type Root, createRoot } from "react-dom/client";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";

import { BlendPanel } from "./blend-panel";

/** Type as a person does: React hears the event, not the value. */
function type(input: HTMLInputElement | null, text: string): void {
  if (!input) throw new Error("there is no such field");
  Object.getOwnPropertyDescriptor(HTMLInputElement.prototype, "value")?.set?.call(input, text);
  act(() => void input.dispatchEvent(new Event("input", { bubbles: true })));
}

describe("the blend panel", () => {
  let page: HTMLElement;
  let root: Root;
  const committed = vi.fn();
  const show = (prompt: string): void => act(() => root.render(<BlendPanel prompt={prompt} onCommit={committed} />));
  const text = (index: number) => page.querySelector<HTMLInputElement>(`[data-testid=blend-text-${index}]`);
  const pause = (): void => act(() => void vi.advanceTimersByTime(1000));

  beforeEach(() => {
    vi.stubGlobal("IS_REACT_ACT_ENVIRONMENT", true);
    vi.useFakeTimers();
    committed.mockReset();
    page = document.createElement("div");
    document.body.append(page);
    root = createRoot(page);
  });
  afterEach(() => {
    act(() => root.unmount());
    page.remove();
    vi.useRealTimers();
    vi.unstubAllGlobals();
  });

  it("commits what is typed once, after a pause", () => {
    show("ink");
    for (const typed of ["inky", "inky s", "inky sea"]) type(text(0), typed);
    expect(committed).not.toHaveBeenCalled();
    pause();
    expect(committed.mock.calls).toEqual([["inky sea"]]);
  });

  it("does not put what waits over a prompt that is chosen meanwhile", () => {
    show("ink");
    type(text(0), "inky");
    show("neon");
    pause();
    expect(committed).not.toHaveBeenCalled();
    expect(text(0)?.value).toBe("neon");
  });

  it("weighs nothing while there is one prompt", () => {
    show("ink");
    expect(page.querySelector("[type=range]")).toBeNull();
    show("ink:1 AND neon:0.5");
    expect(page.querySelectorAll("[type=range]")).toHaveLength(2);
  });
});
