import { act } from "react";
import { createRoot } from "react-dom/client";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";

const made = vi.hoisted(() => ({
  streams: [] as { shown: unknown[] }[],
  recorders: [] as { state: string; stop: () => void; done: (file: Blob) => void }[],
}));

vi.mock("./own-stream", () => ({
  OwnStream: class {
    readonly shown: unknown[] = [];
    constructor() {
      made.streams.push(this);
    }
    show = (stream: unknown) => void this.shown.push(stream);
    close = () => undefined;
  },
}));

vi.mock("./recording", () => ({
  pickType: () => "video/webm",
  fileName: () => "restyle.webm",
  copyOf: () => document.createElement("canvas"),
  /** As browsers have it: what stops is done a moment later. */
  record: (_stream: unknown, _type: string, done: (file: Blob) => void) => {
    const recorder = { state: "recording", stop: () => void (recorder.state = "inactive"), done };
    made.recorders.push(recorder);
    return recorder;
  },
}));

describe("a recording", () => {
  beforeEach(() => {
    vi.stubGlobal("IS_REACT_ACT_ENVIRONMENT", true);
    vi.stubGlobal("MediaRecorder", { isTypeSupported: () => true });
  });
  afterEach(() => vi.unstubAllGlobals());

  it("has the browser ask before the page goes with it, and only then", async () => {
    const { useRecording } = await import("./use-recording");
    let recording!: ReturnType<typeof useRecording>;
    const shown = new MediaStream();
    const Recorder = () => {
      recording = useRecording(shown, () => document.createElement("canvas"), () => undefined);
      return null;
    };
    const asks = (): boolean => !window.dispatchEvent(new Event("beforeunload", { cancelable: true }));
    const root = createRoot(document.createElement("div"));
    act(() => root.render(<Recorder />));
    expect(asks()).toBe(false);
    act(() => recording.toggle());
    expect(asks()).toBe(true);
    act(() => recording.toggle());
    act(() => made.recorders.at(-1)?.done(new Blob()));
    expect(asks()).toBe(false);
    act(() => root.unmount());
    made.recorders.length = made.streams.length = 0;
  });

  it("that begins before the last one's file is there goes on when that comes", async () => {
    const { useRecording } = await import("./use-recording");
    let recording!: ReturnType<typeof useRecording>;
    const seen = () => document.createElement("canvas");
    const Recorder = ({ shown }: { shown: MediaStream }) => {
      recording = useRecording(shown, seen, () => undefined);
      return null;
    };
    const [one, other] = [new MediaStream(), new MediaStream()];
    const root = createRoot(document.createElement("div"));
    act(() => root.render(<Recorder shown={one} />));
    for (let press = 0; press < 3; press++) act(() => recording.toggle());
    act(() => made.recorders[0]?.done(new Blob()));
    expect(recording.since).not.toBeNull();
    act(() => root.render(<Recorder shown={other} />));
    expect(made.streams[1]?.shown.at(-1)).toBe(other);
    act(() => root.unmount());
  });
});
