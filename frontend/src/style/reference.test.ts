import { describe, expect, it } from "vitest";

import { smallSize } from "./reference";

describe("a reference picture", () => {
  it.each([
    [4000, 3000, 512, 384],
    [300, 900, 171, 512],
    [200, 100, 200, 100],
    [9000, 2, 512, 1],
  ])("of %d × %d is sent as %d × %d", (width, height, wide, high) => {
    expect(smallSize(width, height)).toEqual({ width: wide, height: high });
  });
});
