import { type ReactNode, act } from "react";
import { createRoot } from "react-dom/client";
import { afterEach, beforeEach, expect, it, vi } from "vitest";

import type { OutputState } from "@/api/client";
import { Slider } from "@/ui/controls";

import { OutputsPanel } from "./outputs-panel";

beforeEach(() => {
  vi.stubGlobal("IS_REACT_ACT_ENVIRONMENT", true);
  vi.stubGlobal("fetch", () => Promise.reject(new TypeError("nobody is there")));
});
afterEach(() => vi.unstubAllGlobals());

/** Show it, and give what `find` finds there. */
async function shown(part: ReactNode, find: string): Promise<Element | null> {
  const page = document.createElement("div");
  await act(async () => {
    createRoot(page).render(part);
    await Promise.resolve();
  });
  return page.querySelector(find);
}

it("reads out how an output does, and not its figures, which change twice a second", async () => {
  const output = {
    id: "a", kind: "recording", state: "live", target: "film.mp4", problem: null,
    seconds: 12, frames: 361, bytes: 0, dropped: 0,
  } as unknown as OutputState;
  const panel = <OutputsPanel session="s" outputs={[output]} lost={[]} />;
  const told = await shown(panel, "[data-testid=output-recording] [role=status]");
  expect(told?.textContent).toContain("Live film.mp4 · 0:12 · 361 frames");
  expect(told?.querySelector("[aria-live=off]")?.textContent).toBe("0:12 · 361 frames");
});

it("leaves the value of a slider to the slider, which is read out itself", async () => {
  const slider = (
    <Slider label="Steps" hint="" testId="steps" value={2} min={1} max={8} step={1} onChange={() => undefined} />
  );
  expect((await shown(slider, "output"))?.getAttribute("aria-live")).toBe("off"); // it is a live region of its own
});
