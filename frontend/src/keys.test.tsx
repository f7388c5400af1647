import { act } from "react";
import { createRoot } from "react-dom/client";
import { beforeEach, expect, it, vi } from "vitest";

import { letKeysWork, useKeys } from "./keys";

beforeEach(() => {
  localStorage.clear();
  vi.stubGlobal("IS_REACT_ACT_ENVIRONMENT", true);
});

it("single keys work until somebody turns them off, and not with others held", () => {
  const bypass = vi.fn();
  const Page = () => {
    useKeys({ b: bypass });
    return null;
  };
  const press = (more: KeyboardEventInit = {}): void =>
    void window.dispatchEvent(new KeyboardEvent("keydown", { key: "b", ...more }));
  const root = createRoot(document.createElement("div"));
  act(() => root.render(<Page />));
  press();
  press({ ctrlKey: true });
  expect(bypass).toHaveBeenCalledTimes(1);
  letKeysWork(false);
  press();
  expect(bypass).toHaveBeenCalledTimes(1);
  letKeysWork(true);
  press();
  expect(bypass).toHaveBeenCalledTimes(2);
  act(() => root.unmount());
});
