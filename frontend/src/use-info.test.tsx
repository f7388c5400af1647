import { act } from "react";
import { createRoot } from "react-dom/client";
import { afterEach, beforeEach, expect, it, vi } from "vitest";

import { useInfo } from "./use-info";

beforeEach(() => {
  vi.stubGlobal("IS_REACT_ACT_ENVIRONMENT", true);
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

it("a page that is opened while the model loads says so until it is there", async () => {
  const loading = (): Response => new Response('{"code": "loading", "detail": "the model is loading"}', { status: 503 });
  const ready = (): Response => new Response('{"defaults": {}, "presets": [], "noises": [], "ice_servers": []}');
  const server = vi.fn(() => Promise.resolve(loading()));
  vi.stubGlobal("fetch", server);
  const seen: boolean[] = [];
  const Page = () => {
    seen.push(useInfo().loading);
    return null;
  };
  const root = createRoot(document.createElement("div"));
  await act(async () => {
    root.render(<Page />);
    await Promise.resolve();
  });
  expect(seen.at(-1)).toBe(true);
  server.mockImplementation(() => Promise.resolve(ready()));
  await act(() => vi.advanceTimersByTimeAsync(2000));
  expect(seen.at(-1)).toBe(false);
  act(() => root.unmount());
});
