import { renderToStaticMarkup } from "react-dom/server";
import { describe, expect, it } from "vitest";

import type { EngineState } from "@/api/client";
import type { PhaseName } from "@/call/phase";

import { StatusBadge } from "./status-badge";

const badge = (state: PhaseName, engine: EngineState): HTMLElement => {
  const page = document.createElement("div");
  const phase = { state } as Parameters<typeof StatusBadge>[0]["phase"];
  page.innerHTML = renderToStaticMarkup(<StatusBadge phase={phase} engine={engine} hint="it was lost twice" />);
  return page;
};

describe("the badge", () => {
  it.each([
    ["live", "running", "Live", ""],
    ["live", "stuck", "Untouched: the engine does not answer", ""],
    ["live", "held", "Untouched: kept out of the engine", "it was lost twice"],
    ["stalled", "held", "No frames arrive", ""],
  ] as const)("%s, %s: %s", (state, engine, says, why) => {
    const status = badge(state, engine).querySelector("[role=status]");
    expect(status?.textContent).toBe(says);
    expect(status?.getAttribute("title") ?? "").toBe(why);
  });

  it("offers to start an engine again that was given up, and no other", () => {
    const button = (engine: EngineState) => badge("live", engine).querySelector("button");
    expect(button("failed")).not.toBeNull();
    expect(button("held")).toBeNull();
  });
});
