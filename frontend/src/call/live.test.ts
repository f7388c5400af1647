import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";

import { Live } from "./live";
import type { Source, StyleLink } from "./live-state";
import { Cancelled } from "./phase";

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

  configuration: RTCConfiguration = {};
  setConfiguration(configuration: RTCConfiguration) {
    this.configuration = configuration;
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

const refusedStyle = vi.fn();
const style: StyleLink = {
  values: () => ({ prompt: "ink" }),
  connected: () => undefined,
  applied: () => undefined,
  changed: () => undefined,
  refused: refusedStyle,
};

/** A track as far as a call needs it; `end` is what a browser does when somebody unplugs it. */
const newTrack = (deviceId = "") => {
  let ended = nothing;
  const listen = (_: string, run: () => void): void => {
    ended = run;
  };
  const getSettings = (): MediaTrackSettings => ({ deviceId });
  return { addEventListener: listen, stop: vi.fn(), enabled: true, getSettings, end: () => ended() };
};

function newSource(kind: Source["kind"], voice?: object) {
  const picture = newTrack();
  const stop = vi.fn();
  const stream = { getVideoTracks: () => [picture], getAudioTracks: () => (voice ? [voice] : []) };
  return { picture, stop, source: { kind, stream, stop } as unknown as Source };
}

/** A question to the person, answered when the test says so. */
function question<T>() {
  let yes: (value: T) => void = nothing;
  let no: (error: Error) => void = nothing;
  const answered = new Promise<T>((resolve, reject) => {
    yes = resolve;
    no = reject;
  });
  return { open: () => answered, yes: (value: T) => yes(value), no: (error: Error) => no(error) };
}

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
    last().hear({ type: "stats", state: "live", engine: "stuck", stats: {}, outputs: [] });
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

  it("lets go what a person did not wait for: the source that comes late is stopped", async () => {
    const live = new Live(style);
    const [one, two] = [newSource("camera"), newSource("screen")];
    const [first, second] = [question<Source>(), question<Source>()];
    void live.use(first.open);
    const done = live.use(second.open);
    second.yes(two.source);
    await done;
    first.yes(one.source);
    await vi.advanceTimersByTimeAsync(0);
    expect(one.stop).toHaveBeenCalled();
    expect(two.stop).not.toHaveBeenCalled();
    expect(live.get().source).toBe(two.source);

    const third = question<Source>();
    void live.use(third.open);
    live.stop();
    const late = newSource("camera");
    third.yes(late.source);
    await vi.advanceTimersByTimeAsync(0);
    expect(late.stop).toHaveBeenCalled();
    expect(live.get()).toMatchObject({ source: null, phase: { state: "idle" } });
  });

  it("lets a microphone go that was allowed after the stop, or that other sound replaces", async () => {
    const live = await goLive();
    const [asked, voice] = [question<object>(), newTrack()];
    const given = { getAudioTracks: () => [voice], getTracks: () => [voice] };
    vi.stubGlobal("navigator", { mediaDevices: { getUserMedia: asked.open } });
    void live.hear("microphone");
    live.stop();
    asked.yes(given);
    await vi.advanceTimersByTimeAsync(0);
    expect(voice.stop).toHaveBeenCalledTimes(1);
    expect(live.get().sound).toBe("off");

    await live.use(() => Promise.resolve(source));
    last().open();
    await live.hear("microphone");
    await live.use(() => Promise.resolve(newSource("screen", newTrack()).source));
    expect(live.get().sound).toBe("source");
    expect(voice.stop).toHaveBeenCalledTimes(2);
  });

  it("takes another microphone in place of one, and keeps the one that was where there is no other", async () => {
    const live = await goLive();
    const [first, second] = [newTrack("first"), newTrack("second")];
    const given = (voice: object): object => ({ getAudioTracks: () => [voice], getTracks: () => [voice] });
    const ask = vi.fn().mockResolvedValueOnce(given(first)).mockResolvedValueOnce(given(second));
    vi.stubGlobal("navigator", { mediaDevices: { getUserMedia: ask } });
    await live.hear("microphone");
    await live.hear("microphone", "first"); // it is that one: nobody is asked
    await live.hear("microphone", "second");
    expect(ask.mock.calls).toEqual([[{ audio: true }], [{ audio: { deviceId: { exact: "second" } } }]]);
    expect(first.stop).toHaveBeenCalledTimes(1);
    expect(live.get().microphone).toBe("second");
    expect(last().sent.at(-1)).toBe(second);

    ask.mockRejectedValueOnce(new DOMException("unplugged", "OverconstrainedError"));
    await expect(live.hear("microphone", "third")).rejects.toThrow("unplugged");
    expect(second.stop).not.toHaveBeenCalled();
    expect(live.get()).toMatchObject({ sound: "microphone", microphone: "second" });
  });

  it("keeps what brings a session back when an older offer is answered late", async () => {
    const live = await goLive();
    const late = question<Response>();
    server.mockImplementationOnce(late.open);
    last().control.onclose();
    await vi.advanceTimersByTimeAsync(1000); // this offer waits
    live.unauthorised();
    live.authorised();
    await vi.advanceTimersByTimeAsync(0);
    last().open();
    late.yes(accepted());
    await vi.advanceTimersByTimeAsync(0);
    last().control.onclose();
    await vi.advanceTimersByTimeAsync(1000);
    const sent = offers().map(({ body }) => (JSON.parse(body as string) as { resume: unknown }).resume);
    expect(sent).toEqual([null, "r", "r", "r"]);
  });

  it("sends nothing while Mute is pressed, and is not muted after a stop", async () => {
    const live = await goLive();
    live.mute(true);
    const voice = newTrack();
    live.unauthorised();
    await live.use(() => Promise.resolve(newSource("screen", voice).source)); // a new call
    expect(voice.enabled).toBe(false);
    live.mute(false);
    expect(voice.enabled).toBe(true);
    live.mute(true);
    live.stop();
    expect(live.get()).toMatchObject({ muted: false, sound: "off" });
  });

  it("goes back to where one was when the picker is closed, and says why nothing else opens", async () => {
    const live = new Live(style);
    await live.use(() => Promise.reject(new Cancelled()));
    expect(live.get().phase.state).toBe("idle");

    await live.use(() => Promise.resolve(source));
    last().open();
    await live.use(() => Promise.reject(new DOMException("", "NotReadableError")));
    expect(live.get()).toMatchObject({ source, sourceProblem: "busy", phase: { state: "live" } });
    await live.use(() => Promise.reject(new Cancelled()));
    expect(live.get().sourceProblem).toBeNull();
  });

  it("says that the camera is gone when it is unplugged", async () => {
    const live = new Live(style);
    const camera = newSource("camera");
    await live.use(() => Promise.resolve(camera.source));
    last().open();
    camera.picture.end();
    expect(live.get()).toMatchObject({ source: null, phase: { state: "ended", reason: "unplugged" } });
  });

  it("gives a stalled call another picture, and takes one that only begins for none that stalls", async () => {
    const live = await goLive();
    last().hear({ type: "stats", state: "connecting", engine: "running", stats: {}, outputs: [] });
    expect(live.get().phase.state).toBe("live");
    last().hear({ type: "stats", state: "stalled", engine: "running", stats: {}, outputs: [] });
    expect(live.get().phase.state).toBe("stalled");
    const other = newSource("screen");
    await live.use(() => Promise.resolve(other.source));
    expect(last().sent).toContain(other.picture);
    expect(FakeConnection.all).toHaveLength(1);
  });

  it("tells media that does not get through from a server that is away", async () => {
    const live = new Live(style);
    await live.use(() => Promise.resolve(source)); // it is answered, and never opens
    await vi.advanceTimersByTimeAsync(15_000);
    expect(live.get().phase).toEqual({ state: "gone", reason: "media" });
    await vi.advanceTimersByTimeAsync(1000);
    last().open();
    last().hear({ type: "ended", reason: "idle" });
    expect(live.get().phase).toEqual({ state: "gone", reason: "idle" });
    expect(server.mock.calls.some(([, { method }]) => method === "DELETE")).toBe(false); // it has ended
  });

  it("says so where the browser makes no calls, before it asks for a camera and after", async () => {
    const asked = vi.fn(() => Promise.resolve(source));
    vi.stubGlobal("RTCPeerConnection", undefined);
    expect(new Live(style).get().phase.state).toBe("unsupported");

    vi.stubGlobal("RTCPeerConnection", () => {
      throw new Error("forbidden");
    });
    const live = new Live(style);
    await live.use(asked);
    expect(live.get().phase.state).toBe("unsupported");
  });

  it("remembers what the server sent elsewhere until the connection was lost", async () => {
    const live = await goLive();
    const outputs = [{ kind: "recording", state: "live" }, { kind: "rtmp", state: "failed" }];
    const say = (now: object[]): void =>
      last().hear({ type: "stats", state: "live", engine: "running", stats: {}, outputs: now });
    say(outputs);
    last().control.onclose();
    expect(live.get().lostOutputs).toEqual(["recording"]);
    await vi.advanceTimersByTimeAsync(1000);
    last().open();
    say([]);
    expect(live.get().lostOutputs).toEqual(["recording"]);
    say(outputs); // somebody started it again
    expect(live.get().lostOutputs).toEqual([]);
  });

  it("tells the style what was refused, and the size what is its own", async () => {
    const live = await goLive();
    last().hear({ type: "error", seq: 3, code: "invalid", detail: "why" });
    expect(refusedStyle).toHaveBeenLastCalledWith(3, "why", false);
    last().hear({ type: "error", seq: null, code: "too_fast", detail: "slow" });
    expect(refusedStyle).toHaveBeenLastCalledWith(null, "slow", true);
    live.resize({ width: 512, height: 512 }, { width: 256, height: 256 });
    last().hear({ type: "error", seq: 1_000_000_001, code: "invalid", detail: "size", id: "1a2b3c4d" });
    expect(live.get().sizeProblem).toBe("size (1a2b3c4d)");
    expect(refusedStyle).toHaveBeenCalledTimes(2);
  });

  it("goes back to the server's own size also after a larger one was refused", async () => {
    const own = { width: 256, height: 256 };
    const live = await goLive();
    live.resize({ width: 384, height: 384 }, own);
    last().hear({ type: "resized", seq: 1_000_000_001, frame: 1, width: 384, height: 384 });
    live.resize({ width: 1024, height: 1024 }, own);
    last().hear({ type: "error", seq: 1_000_000_002, code: "no_room", detail: "no room", id: "1a2b3c4d" });
    live.resize({ width: 384, height: 384 }, own);
    expect(live.get().sizeProblem).toBeNull();
    live.resize(own, own);
    expect(last().control.sent.at(-1)).toContain('"width":256');
  });

  it("asks for a size again once the engine that was away is back", async () => {
    const live = await goLive();
    const asked = (): number => last().control.sent.filter((text) => text.includes('"type":"size"')).length;
    const say = (engine: string): void =>
      last().hear({ type: "stats", state: "live", stats: { age_ms: {} }, engine, outputs: [] });
    live.resize({ width: 512, height: 512 }, { width: 256, height: 256 });
    last().hear({ type: "error", seq: 1_000_000_001, code: "engine_away", detail: "away", id: "1a2b3c4d" });
    say("running"); // it is not known yet that it was lost
    expect(asked()).toBe(1);
    await vi.advanceTimersByTimeAsync(1500);
    say("restarting");
    expect(asked()).toBe(1);
    expect(live.get()).toMatchObject({ resizing: true, sizeProblem: null });
    say("running");
    say("running");
    expect(asked()).toBe(2);
    last().hear({ type: "resized", seq: 1_000_000_002, frame: 9, width: 512, height: 512 });
    expect(live.get()).toMatchObject({ resizing: false, size: { width: 512, height: 512 } });
  });

  it("does not ask a third time for a size that may be what ends the engine", async () => {
    const live = await goLive();
    const away = (seq: number) => ({ type: "error", seq, code: "engine_away", detail: "away", id: "1a2b3c4d" });
    live.resize({ width: 512, height: 512 }, { width: 256, height: 256 });
    last().hear(away(1_000_000_001));
    await vi.advanceTimersByTimeAsync(1500);
    last().hear({ type: "stats", state: "live", stats: { age_ms: {} }, engine: "running", outputs: [] });
    last().hear(away(1_000_000_002));
    expect(live.get()).toMatchObject({ resizing: false, sizeProblem: "away (1a2b3c4d)" });
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
