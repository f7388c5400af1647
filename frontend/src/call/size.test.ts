import { describe, expect, it } from "vitest";

import { sizeFor } from "./size";

describe("sizeFor", () => {
  it("is square, or as wide or tall as the source, in the model's steps", () => {
    const camera = { width: 640, height: 480 };
    const phone = { width: 480, height: 640 };
    expect(sizeFor({ side: 512, shape: "square" }, camera, 32)).toEqual({ width: 512, height: 512 });
    expect(sizeFor({ side: 384, shape: "source" }, camera, 32)).toEqual({ width: 512, height: 384 });
    expect(sizeFor({ side: 384, shape: "source" }, phone, 32)).toEqual({ width: 384, height: 512 });
    expect(sizeFor({ side: 256, shape: "source" }, camera, 32)).toEqual({ width: 352, height: 256 });
  });

  it("never leaves what the server takes", () => {
    const film = { width: 2100, height: 900 };
    expect(sizeFor({ side: 768, shape: "source" }, film, 64)).toEqual({ width: 1024, height: 768 });
    expect(sizeFor({ side: 256, shape: "square" }, null, 96)).toEqual({ width: 288, height: 288 });
  });
});
