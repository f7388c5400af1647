import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";

import { Live, type Source, type StyleLink } from "./live";

const nothing = (): void => undefined;

/** A peer connection that works as far as a call needs it: it opens when the test says so. */
class FakeConnection {
  static all: FakeConnection[] = [];
  iceGatheringState = "complete";
  connectionState = "new";
  localDescription = { type: "offer", sdp: "v=0" };
  ontrack: unknown = null;
  onconnectionstatechange: (() => void) | null = null;
  control = {
    readyState: "connecting",
    sent: [] as string[],
    onopen: nothing,
    onmessage: nothing as (event: { data: string }) => void,
    onclose: nothing,
    send: (text: string) => void this.control.sent.push(text),
  };
  closed = false;

  constructor() {
    FakeConnection.all.push(this);
  }

  createDataChannel() {
    return this.control;
  }
  sent: unknown[] = [];
  addTransceiver() {
    const replaceTrack = (track: unknown): Promise<void> => {
      this.sent.push(track);
      return Promise.resolve();
    };
    return { setCodecPreferences: () => undefined, sender: { replaceTrack } };
  }
  setLocalDescription() {
    return Promise.resolve();
  }
  setRemoteDescription() {
    return Promise.resolve();
  }
  getSenders() {
    return [];
  }
  close() {
    this.closed = true;
  }
  open() {
    this.control.readyState = "open";
    this.control.onopen();
  }
  hear(message: object) {
    this.control.onmessage({ data: JSON.stringify(message) });
  }
}

const last = (): FakeConnection => {
  const connection = FakeConnection.all.at(-1);
  if (!connection) throw new Error("no call was made");
  return connection;
};

const answer = (status: number, body: object, headers: Record<string, string> = {}): Response =>
  new Response(JSON.stringify(body), { status, headers });

const accepted = (): Response =>
  answer(201, { id: "s", token: "t", resume: "r", sdp: "v=0", type: "answer", ice_servers: [], style: {} });

const track = { addEventListener: () => undefined, stop: vi.fn() };
const stopped = vi.fn();
const source = {
  kind: "camera",
  stream: { getVideoTracks: () => [track], getAudioTracks: () => [] },
  stop: stopped,
} as unknown as Source;

const style: StyleLink = {
  values: () => ({ prompt: "ink" }),
  connected: () => undefined,
  applied: () => undefined, changed: () => undefined,
};

describe("Live", () => {
  const server = vi.fn<(path: string, init: RequestInit) => Promise<Response>>();
  const offers = (): RequestInit[] =>
    server.mock.calls.map(([, init]) => init).filter(({ method }) => method === "POST");

  beforeEach(() => {
    vi.useFakeTimers();
    FakeConnection.all = [];
    server.mockReset().mockImplementation(() => Promise.resolve(accepted()));
    vi.stubGlobal("fetch", server);
    vi.stubGlobal("isSecureContext", true);
    vi.stubGlobal("RTCPeerConnection", FakeConnection);
    vi.stubGlobal("RTCRtpReceiver", { getCapabilities: () => ({ codecs: [] }) });
  });

  afterEach(() => {
    vi.useRealTimers();
    vi.unstubAllGlobals();
  });

  const goLive = async (): Promise<Live> => {
    const live = new Live(style);
    await live.use(() => Promise.resolve(source));
    last().open();
    return live;
  };

  it("is live once the control channel is open, and offered the style with it", async () => {
    const live = await goLive();
    expect(live.get().phase.state).toBe("live");
    expect(JSON.parse(offers()[0]?.body as string)).toMatchObject({ style: { prompt: "ink" } });
  });

  it("calls again when the connection is lost, with the same source", async () => {
    const live = await goLive();
    last().control.onclose();
    expect(live.get().phase.state).toBe("gone");
    expect(live.get().source).toBe(source);

    await vi.advanceTimersByTimeAsync(1000);
    last().open();
    expect(offers().map(({ body }) => (JSON.parse(body as string) as { resume: unknown }).resume)).toEqual([null, "r"]);
    expect(server.mock.calls.some(([, { method }]) => method === "DELETE")).toBe(false);
    expect(FakeConnection.all).toHaveLength(2);
    expect(live.get().phase.state).toBe("live");
  });

  it("notices a server that says nothing any more", async () => {
    const live = await goLive();
    await vi.advanceTimersByTimeAsync(6000);
    expect(live.get().phase.state).toBe("gone");
  });

  it("waits as long as a full server says, and shows until when", async () => {
    server.mockImplementation(() =>
      Promise.resolve(answer(503, { code: "full", detail: "" }, { "retry-after": "3" })),
    );
    const live = new Live(style);
    await live.use(() => Promise.resolve(source));
    expect(live.get().phase.state).toBe("full");
    expect(live.get().retryAt).toBe(Date.now() + 3000);

    server.mockImplementation(() => Promise.resolve(accepted()));
    await vi.advanceTimersByTimeAsync(3000);
    last().open();
    expect(live.get().phase.state).toBe("live");
  });

  it("goes on at once when the network is back", async () => {
    const live = await goLive();
    last().control.onclose();
    window.dispatchEvent(new Event("online"));
    await vi.advanceTimersByTimeAsync(0);
    last().open();
    expect(live.get().phase.state).toBe("live");
  });

  it("comes back after a drain, but not after its session was ended for good", async () => {
    const live = await goLive();
    last().hear({ type: "ended", reason: "draining" });
    expect(live.get().phase.state).toBe("gone");
    await vi.advanceTimersByTimeAsync(1000);
    last().open();

    last().hear({ type: "ended", reason: "lifetime" });
    expect(live.get().phase).toEqual({ state: "ended", reason: "lifetime" });
    expect(live.get().retryAt).toBeNull();
  });

  it("knows that the engine is away, and forgets it with the call", async () => {
    const live = await goLive();
    last().hear({ type: "stats", state: "live", engine: "stuck", stats: {} });
    expect(live.get().engine).toBe("stuck");
    expect(live.get().phase.state).toBe("live");

    last().control.onclose();
    expect(live.get().engine).toBe("running");
  });

  it("says what a refused camera means and makes no call", async () => {
    const live = new Live(style);
    await live.use(() => Promise.reject(new DOMException("", "NotAllowedError")));
    expect(live.get().phase).toEqual({ state: "denied", reason: "refused" });
    expect(FakeConnection.all).toHaveLength(0);
  });

  it("sends a picture with its matte once the server knows of it, also after a lost connection", async () => {
    const live = await goLive();
    const paired = { stop: () => undefined } as unknown as MediaStreamTrack;
    const done = live.pair(paired);
    await vi.advanceTimersByTimeAsync(10);
    const asked = JSON.parse(last().control.sent.at(-1) ?? "") as { type: string; seq: number; matte: string };
    expect(asked).toMatchObject({ type: "matte", matte: "side" });
    expect(last().sent).toEqual([]); // the camera's picture, until the server answers
    last().hear({ type: "matte", seq: asked.seq, matte: "side", frame: 3 });
    await done;
    expect(last().sent).toEqual([paired]);

    last().control.onclose();
    await vi.advanceTimersByTimeAsync(1000);
    last().open();
    expect(JSON.parse(offers().at(-1)?.body as string)).toMatchObject({ matte: "side" });

    void live.pair(null);
    await vi.advanceTimersByTimeAsync(500);
    expect(last().sent).toEqual([track]); // at once, and the server is told when none is on its way
    expect(last().control.sent.some((text) => text.includes('"none"'))).toBe(false);
    await vi.advanceTimersByTimeAsync(1000);
    expect(last().control.sent.at(-1)).toContain('"none"');
  });

  it("gives camera and place back when it is stopped", async () => {
    const live = await goLive();
    live.stop();
    expect(stopped).toHaveBeenCalled();
    expect(last().closed).toBe(true);
    expect(server.mock.calls.at(-1)?.[1].method).toBe("DELETE");
    last().hear({ type: "stats", state: "live", engine: "running", stats: {} }); // was on its way
    expect(live.get()).toMatchObject({ phase: { state: "idle" }, stats: null });
  });
});
