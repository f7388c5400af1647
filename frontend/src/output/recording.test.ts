import { describe, expect, it } from "vitest";

import { clock, fileName, pickType } from "./recording";

describe("a recording", () => {
  it("is in the first container that the browser writes", () => {
    expect(pickType((type) => type.startsWith("video/webm"))).toBe("video/webm;codecs=vp8,opus");
    expect(pickType((type) => type === "video/webm;codecs=vp8")).toBe("video/webm;codecs=vp8");
    expect(pickType((type) => type === "video/mp4")).toBe("video/mp4");
    expect(pickType(() => false)).toBeNull();
  });

  it("is named by its time and kind", () => {
    const now = new Date(2026, 10, 25, 9, 30, 5);
    expect(fileName("video/webm;codecs=vp8", now)).toBe("restyle-20261125-093005.webm");
    expect(fileName("image/png", now)).toBe("restyle-20261125-093005.png");
  });

  it.each([
    [0, "0:00"],
    [7_999, "0:07"],
    [750_000, "12:30"],
    [3_723_000, "1:02:03"],
    [-5, "0:00"],
  ])("shows %i ms as %s", (ms, text) => expect(clock(ms)).toBe(text));
});
