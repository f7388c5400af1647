import { act } from "react";
import { type Root, createRoot } from "react-dom/client";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";

import { FloatButton } from "./float-button";

describe("the small window", () => {
  const small = document.implementation.createHTMLDocument();
  const close = vi.fn();
  const requestWindow = vi.fn<() => Promise<object>>();
  let page: HTMLElement;
  let root: Root;
  const press = (): Promise<void> =>
    act(async () => {
      page.querySelector("button")?.click();
      await Promise.resolve();
    });

  beforeEach(() => {
    vi.stubGlobal("IS_REACT_ACT_ENVIRONMENT", true);
    requestWindow.mockResolvedValue({ document: small, close, addEventListener: () => undefined });
    vi.stubGlobal("documentPictureInPicture", { requestWindow });
    page = document.createElement("div");
    root = createRoot(page);
    act(() => root.render(<FloatButton disabled={false}>the picture</FloatButton>));
  });
  afterEach(() => {
    act(() => root.unmount());
    delete document.documentElement.dataset.theme;
    vi.unstubAllGlobals();
  });

  it("turns dark with the page, and goes with it", async () => {
    await press();
    expect(small.body.textContent).toBe("the picture");
    document.documentElement.dataset.theme = "dark";
    await vi.waitFor(() => expect(small.documentElement.dataset.theme).toBe("dark"));
    act(() => root.render(null));
    expect(close).toHaveBeenCalled();
  });

  it("that the browser does not open is told", async () => {
    requestWindow.mockRejectedValueOnce(new DOMException("no", "NotAllowedError"));
    await press();
    expect(page.querySelector("[role=alert]")?.textContent).toContain("did not open");
    await press();
    expect(page.querySelector("[role=alert]")).toBeNull();
  });
});
