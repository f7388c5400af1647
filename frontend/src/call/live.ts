import {
  type EngineState,
  type Matte,
  type OutputState,
  Refused,
  type ServerMessage,
  type Stats,
  type Style,
  type StylePatch,
  forgetToken,
  nameSession,
} from "@/api/client";
import { Store } from "@/store";

import { forgetName, keepName, keptName } from "./kept-name";
import { PeerCall, type Viewer } from "./peer-call";
import { type Size, same } from "./size";
import { type Phase, afterMediaError, afterRefusal, backoff } from "./phase";

/** Something that gives pictures: a camera, a screen, a file. */
export interface Source {
  readonly kind: "camera" | "screen" | "file";
  readonly stream: MediaStream;
  /** Of a file: what plays it, so that one can seek. */
  readonly video?: HTMLVideoElement;
  stop(): void;
}

/** Nothing, a microphone, or what the screen or the file gives. */
export type Sound = "off" | "microphone" | "source";

export interface LiveState {
  phase: Phase;
  source: Source | null;
  output: MediaStream | null;
  stats: Stats | null;
  /** Of the restyled picture; null: the server's own. The old one is shown while another comes. */
  size: Size | null;
  resizing: boolean;
  /** Why the size that was asked for is not to be had. */
  sizeProblem: string | null;
  /** Not running: the picture comes back untouched. */
  engine: EngineState;
  /** Where else the server sends the picture. */
  outputs: readonly OutputState[];
  /** What is heard with the picture; it is never played here, only sent on and recorded. */
  sound: Sound;
  muted: boolean;
  /** Lets an overlay watch this session; null while there is none. */
  viewer: Viewer | null;
  /** Round trip of the control channel in milliseconds. */
  roundTrip: number | null;
  /** When the next try comes, as Date.now() counts. */
  retryAt: number | null;
}

/** What the call asks of the style: all values for an offer, and what the server said of changes. */
export interface StyleLink {
  values(): StylePatch;
  connected(send: (seq: number, style: StylePatch) => boolean): void;
  applied(seq: number, frame: number, hint: string | null, style: Style): void;
  /** Somebody else changed it: over HTTP or OSC. */
  changed(frame: number, hint: string | null, style: Style): void;
}

const PING = 2000; // ms
const FIRST_SIZE = 1_000_000_000; // so that no refusal of a style is taken for one of a size
const FIRST_MATTE = 2_000_000_000;
const ON_ITS_WAY = 1000; // ms after which no picture with a matte is on its way any more

const IDLE: LiveState = {
  phase: { state: "idle" }, source: null, output: null, stats: null, outputs: [], size: null, resizing: false,
  sizeProblem: null, engine: "running", sound: "off", muted: false, viewer: null, roundTrip: null, retryAt: null,
};

/** Keeps a call up for as long as a source runs. Knows nothing of React. */
export class Live extends Store<LiveState> {
  private readonly style: StyleLink;
  private call: PeerCall | null = null;
  private resume: string | null = null;
  private attempt = 0;
  private timer = 0;
  private pinger = 0;
  private pings = new Map<number, number>();
  private pingSeq = 0;
  private sizeSeq = FIRST_SIZE;
  private wanted: Size | null = null;
  private microphone: MediaStream | null = null;
  private paired: MediaStreamTrack | null = null;
  private matteSeq = FIRST_MATTE;
  private told: (() => void) | null = null;

  constructor(style: StyleLink) {
    super(IDLE);
    this.style = style;
    if (!window.isSecureContext) this.set({ phase: { state: "insecure" } });
    window.addEventListener("online", () => this.hurry());
    document.addEventListener("visibilitychange", () => {
      if (document.visibilityState === "visible") this.hurry();
    });
    window.addEventListener("pagehide", () => this.stop());
  }

  /** Ask for a source, then connect; a running call goes on with the new picture. */
  async use(open: () => Promise<Source>): Promise<void> {
    const before = this.view.source;
    if (!before) this.set({ phase: { state: "asking" } });
    let source: Source;
    try {
      source = await open();
    } catch (error) {
      if (!before) this.set({ phase: afterMediaError(error) });
      return;
    }
    before?.stop();
    const given = source.stream.getAudioTracks().length > 0;
    const { sound } = this.view;
    this.set({ source, sound: given ? "source" : sound === "source" ? "off" : sound });
    const [track] = source.stream.getVideoTracks();
    track?.addEventListener("ended", () => {
      if (this.view.source === source) this.stop();
    });
    if (this.call && track && this.view.phase.state === "live") {
      await this.call.replace(this.paired ?? track);
      await this.sendSound();
    } else await this.connect();
  }

  /** Choose what is heard with the picture. Throws what the browser says of a microphone. */
  async hear(sound: Sound): Promise<void> {
    if (sound === "microphone") {
      this.microphone ??= await navigator.mediaDevices.getUserMedia({ audio: true });
    } else this.dropMicrophone();
    this.set({ sound });
    await this.sendSound();
  }

  /** Send silence, or sound again. */
  mute(muted: boolean): void {
    this.set({ muted });
    const track = this.soundTrack();
    if (track) track.enabled = !muted;
  }

  /** Send a picture with its matte beside it in place of the source's; null: the source's again. */
  async pair(track: MediaStreamTrack | null): Promise<void> {
    this.paired = track;
    if (track) await this.tellMatte("side"); // first: pictures without the mark are taken as ever
    const shown = this.paired ?? this.view.source?.stream.getVideoTracks()[0];
    if (this.paired !== track || !shown) return;
    await this.call?.replace(shown);
    if (track) return;
    await new Promise((resolve) => window.setTimeout(resolve, ON_ITS_WAY));
    if (this.paired === null) await this.tellMatte("none");
  }

  /** Hang up and let the camera go. */
  stop(): void {
    this.dropMicrophone();
    this.hangUp();
    this.resume = null;
    this.view.source?.stop();
    this.set({ phase: { state: "idle" }, source: null, output: null, stats: null, sound: "off" });
  }

  /** Ask for a size, now and of every later call; the server's own needs no asking. */
  resize(size: Size, own: Size): void {
    if (!this.wanted && same(size, own)) return;
    if (same(size, this.wanted)) return;
    this.wanted = size;
    this.set({ sizeProblem: null });
    this.askSize();
  }

  unauthorised(): void {
    this.hangUp();
    this.set({ phase: { state: "unauthorised" } });
  }

  authorised(): void {
    this.attempt = 0;
    if (this.view.source) void this.connect();
    else this.set({ phase: { state: "idle" } });
  }

  /** Try again now. */
  readonly hurry = (): void => {
    if (this.view.retryAt !== null) void this.connect();
  };

  private async connect(): Promise<void> {
    this.hangUp();
    const track = this.paired ?? this.view.source?.stream.getVideoTracks()[0];
    if (!track) return;
    if (this.attempt === 0) this.set({ phase: { state: "connecting" } });
    const call = new PeerCall({
      stream: (output) => this.set({ output }),
      message: (message) => {
        if (this.call === call) this.receive(message); // one may come after the call was ended
      },
      open: () => this.opened(call),
      lost: () => this.retry({ state: "gone" }, backoff(this.attempt++)),
    });
    this.call = call;
    try {
      const matte = this.paired ? "side" : "none";
      await call.start(track, this.soundTrack(), { style: this.style.values(), resume: this.resume, matte, name: keptName() });
      this.resume = call.resume;
    } catch (error) {
      if (this.call !== call) return; // hung up meanwhile
      call.close();
      const refused =
        error instanceof Refused ? error : new Refused(0, "unknown", "The call could not be made.");
      const { phase, after } = afterRefusal(refused, this.attempt++);
      if (phase.state === "unauthorised") forgetToken();
      if (after === null) this.set({ phase });
      else this.retry(phase, after);
    }
  }

  /** Keep the address for those who watch from one session to the next, or end it; give it. Throws Refused. */
  readonly keepAddress = async (on: boolean): Promise<Viewer | null> => {
    const { viewer } = this.view;
    if (!viewer) return null;
    if (!on) forgetName();
    const { name, viewer_token: token } = await nameSession(viewer.id, on ? keepName() : null);
    const named = { id: viewer.id, name, token };
    if (this.view.viewer?.id === viewer.id) this.set({ viewer: named });
    return named;
  };

  /** Resolves once the server looks for a matte, or does not; at once where there is no call to tell it. */
  private tellMatte(matte: Matte): Promise<void> {
    this.told?.();
    if (!this.call?.send({ type: "matte", seq: ++this.matteSeq, matte })) return Promise.resolve();
    return new Promise((resolve) => {
      this.told = resolve;
    });
  }

  private soundTrack(): MediaStreamTrack | null {
    const { sound, source } = this.view;
    const from = { off: null, microphone: this.microphone, source: source?.stream }[sound];
    return from?.getAudioTracks()[0] ?? null;
  }

  private async sendSound(): Promise<void> {
    this.mute(this.view.muted);
    await this.call?.replaceSound(this.soundTrack());
  }

  private dropMicrophone(): void {
    for (const track of this.microphone?.getTracks() ?? []) track.stop();
    this.microphone = null;
  }

  private askSize(): void {
    if (!this.wanted || same(this.wanted, this.view.size)) return;
    const resizing = this.call?.send({ type: "size", seq: ++this.sizeSeq, ...this.wanted }) ?? false;
    this.set({ resizing });
  }

  private opened(call: PeerCall): void {
    this.attempt = 0;
    this.set({ phase: { state: "live" }, viewer: call.viewer });
    this.style.connected((seq, style) => call.send({ type: "style", seq, style }));
    this.askSize();
    this.pinger = window.setInterval(() => {
      this.pings = new Map([[++this.pingSeq, performance.now()]]);
      call.send({ type: "ping", seq: this.pingSeq });
    }, PING);
  }

  private receive(message: ServerMessage): void {
    if (message.type === "stats") {
      const stalled = message.state === "stalled" || message.state === "connecting";
      this.set({
        stats: message.stats,
        engine: message.engine,
        outputs: message.outputs,
        phase: { state: stalled ? "stalled" : "live" },
      });
    } else if (message.type === "applied") {
      this.style.applied(message.seq, message.frame, message.hint ?? null, message.style);
    } else if (message.type === "changed") {
      this.style.changed(message.frame, message.hint ?? null, message.style);
    } else if (message.type === "resized") {
      const { width, height } = message;
      this.set({ size: { width, height }, resizing: message.seq !== this.sizeSeq });
    } else if (message.type === "matte") {
      if (message.seq === this.matteSeq) this.told?.();
    } else if (message.type === "error" && message.seq === this.sizeSeq) {
      this.wanted = null;
      this.set({ resizing: false, sizeProblem: message.detail });
    } else if (message.type === "pong") {
      const sent = this.pings.get(message.seq);
      if (sent !== undefined) this.set({ roundTrip: performance.now() - sent });
    } else if (message.type === "ended") {
      this.ended(message.reason);
    }
  }

  private ended(reason: string): void {
    if (reason === "draining" || reason === "idle") {
      this.retry({ state: "gone" }, backoff(this.attempt++));
      return;
    }
    this.hangUp();
    this.set({ phase: { state: "ended", reason } });
  }

  private retry(phase: Phase, after: number): void {
    this.hangUp();
    this.set({ phase, retryAt: Date.now() + after });
    this.timer = window.setTimeout(() => void this.connect(), after);
  }

  private hangUp(): void {
    window.clearTimeout(this.timer);
    window.clearInterval(this.pinger);
    const { call } = this;
    this.call = null;
    this.told?.();
    call?.close();
    this.set({
      retryAt: null, roundTrip: null, viewer: null, outputs: [], size: null, resizing: false,
      engine: "running",
    });
  }
}
