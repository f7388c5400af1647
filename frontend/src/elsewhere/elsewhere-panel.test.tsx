import { act } from "react";
import { createRoot } from "react-dom/client";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";

import { DEFAULTS } from "@/style/style-store";

import { ElsewherePanel } from "./elsewhere-panel";

describe("the panel of what runs elsewhere", () => {
  const server = vi.fn(() => Promise.resolve(new Response('{"sessions": []}')));
  const see = (state: DocumentVisibilityState): void => {
    vi.spyOn(document, "visibilityState", "get").mockReturnValue(state);
    document.dispatchEvent(new Event("visibilitychange"));
  };

  beforeEach(() => {
    vi.stubGlobal("IS_REACT_ACT_ENVIRONMENT", true);
    vi.stubGlobal("fetch", server);
    vi.useFakeTimers();
  });
  afterEach(() => {
    vi.useRealTimers();
    vi.restoreAllMocks();
    vi.unstubAllGlobals();
  });

  it("asks nothing while nobody sees the page, and at once when somebody does", async () => {
    const root = createRoot(document.createElement("div"));
    await act(async () => {
      root.render(<ElsewherePanel own={null} style={DEFAULTS} quiet />);
      await Promise.resolve();
    });
    expect(server).toHaveBeenCalledTimes(1);
    see("hidden");
    await act(() => vi.advanceTimersByTimeAsync(60_000));
    expect(server).toHaveBeenCalledTimes(1);
    await act(async () => {
      see("visible");
      await Promise.resolve();
    });
    expect(server).toHaveBeenCalledTimes(2);
    act(() => root.unmount());
    see("visible");
    await vi.advanceTimersByTimeAsync(60_000);
    expect(server).toHaveBeenCalledTimes(2);
  });
});
