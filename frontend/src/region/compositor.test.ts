import { describe, expect, it, vi } from "vitest";

import { Brush } from "./brush";
import { Compositor } from "./compositor";
import type { Finder } from "./finder";
import type { Region } from "./region";

vi.mock("./region-drawer", () => ({ regionDrawer: () => () => undefined })); // no WebGL here
vi.mock("./frames", async (real) => ({ ...(await real<typeof import("./frames")>()), paint: () => undefined }));

const REGION: Region = { where: "person", outside: "camera", tool: "off", radius: 0.1, painted: true };

/** A video whose next picture comes when the test says so. */
function newVideo() {
  let run: () => void = () => undefined;
  const wait = vi.fn((next: () => void) => void (run = next));
  const video = { videoWidth: 64, videoHeight: 64, requestVideoFrameCallback: wait };
  const next = async (): Promise<void> => {
    run();
    await new Promise((resolve) => setTimeout(resolve, 5)); // it rests for as long as it looked
  };
  return { video: video as unknown as HTMLVideoElement, next, wait };
}

function setUp(find: () => Promise<void>) {
  const input = newVideo();
  const finder = { closed: false, find: vi.fn(find) };
  const pictures = { canvas: document.createElement("canvas"), input: input.video, output: newVideo().video, delay: () => 0 };
  const compositor = new Compositor(pictures, new Brush(), () => REGION);
  compositor.finder = finder as unknown as Finder;
  const failed = vi.fn();
  void compositor.run(failed);
  return { compositor, finder, failed, ...input };
}

describe("a compositor", () => {
  it("goes on without the one that finds people when that breaks, and says so once", async () => {
    const { compositor, finder, failed, next, wait } = setUp(() => Promise.reject(new Error("no mask")));
    for (let picture = 0; picture < 3; picture++) await next();
    expect(failed).toHaveBeenCalledTimes(1);
    expect(finder.find).toHaveBeenCalledTimes(1);
    expect(wait).toHaveBeenCalledTimes(4); // for the camera's next picture, still
    compositor.stop();
  });

  it("does not call that broken which was given back while it looked", async () => {
    const { compositor, finder, failed, next } = setUp(() => {
      finder.closed = true;
      return Promise.reject(new Error("closed"));
    });
    await next();
    compositor.finder = null;
    await next();
    expect(failed).not.toHaveBeenCalled();
    compositor.stop();
  });
});
