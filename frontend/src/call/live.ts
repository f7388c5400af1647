import { type ClientMessage, Refused, type ServerMessage, forgetToken, nameSession } from "@/api/client";
import { Store } from "@/store";

import { forgetName, keepName, keptName } from "./kept-name";
import { IDLE, type LiveState, type Sound, type Source, type StyleLink, lostWith, stillLost } from "./live-state";
import { Microphone } from "./microphone";
import { PeerCall, type Viewer } from "./peer-call";
import { Cancelled, type Phase, afterRefusal, backoff, firstPhase, mediaProblem } from "./phase";
import { RoundTrip } from "./round-trip";
import type { Size } from "./size";
import { MatteWish, SizeWish, ofStyle } from "./wishes";

const ON_ITS_WAY = 1000; // ms after which no picture with a matte is on its way any more

/** Keeps a call up for as long as a source runs. Knows nothing of React. */
export class Live extends Store<LiveState> {
  private readonly style: StyleLink;
  private call: PeerCall | null = null;
  private resume: string | null = null;
  private attempt = 0;
  private timer = 0;
  private readonly roundTrip = new RoundTrip();
  private readonly sizeWish = new SizeWish();
  private readonly matteWish = new MatteWish();
  private readonly microphone = new Microphone();
  private asked = 0; // counts sources that were asked for; an answer to an earlier wish is stale
  private paired: MediaStreamTrack | null = null;

  constructor(style: StyleLink) {
    super({ ...IDLE, phase: firstPhase() });
    this.style = style;
    window.addEventListener("online", () => this.hurry());
    document.addEventListener("visibilitychange", () => {
      if (document.visibilityState === "visible") this.hurry();
    });
    window.addEventListener("pagehide", () => this.stop());
  }

  /** Ask for a source, then connect; a running call goes on with the new picture. */
  async use(open: () => Promise<Source>): Promise<void> {
    const asked = ++this.asked;
    const { phase: from } = this.view;
    if (!this.view.source) this.set({ phase: { state: "asking" } });
    let source: Source;
    try {
      source = await open();
    } catch (error) {
      if (asked === this.asked) this.notOpened(error, from);
      return;
    }
    if (asked !== this.asked) {
      source.stop(); // another was chosen meanwhile, or none
      return;
    }
    this.view.source?.stop();
    await this.show(source);
  }

  private notOpened(error: unknown, from: Phase): void {
    const problem = error instanceof Cancelled ? null : mediaProblem(error);
    if (this.view.source) this.set({ sourceProblem: problem });
    else if (problem) this.set({ phase: { state: "denied", reason: problem } });
    else if (this.view.phase.state === "asking") {
      this.set({ phase: from.state === "asking" ? { state: "idle" } : from });
    }
  }

  private async show(source: Source): Promise<void> {
    const given = source.stream.getAudioTracks().length > 0;
    const { sound } = this.view;
    if (given) this.microphone.drop();
    this.set({ source, sourceProblem: null, sound: given ? "source" : sound === "source" ? "off" : sound });
    const [track] = source.stream.getVideoTracks();
    track?.addEventListener("ended", () => {
      if (this.view.source !== source) return;
      this.letGo(); // what is being asked for may still come
      if (source.kind === "camera") this.set({ phase: { state: "ended", reason: "unplugged" } });
    });
    if (this.call?.isOpen && track) {
      await this.call.replace(this.paired ?? track);
      await this.sendSound();
    } else await this.connect();
  }

  /** Choose what is heard with the picture, and of microphones which. Throws what the browser says of one. */
  async hear(sound: Sound, deviceId?: string): Promise<void> {
    if (sound !== "microphone") this.microphone.drop();
    else if (!(await this.microphone.open(deviceId))) return;
    this.set({ sound, microphone: this.microphone.deviceId });
    await this.sendSound();
  }

  /** Send silence, or sound again. */
  mute(muted: boolean): void {
    this.set({ muted });
    this.soundTrack();
  }

  /** Send a picture with its matte beside it in place of the source's; null: the source's again. */
  async pair(track: MediaStreamTrack | null): Promise<void> {
    this.paired = track;
    if (track) await this.matteWish.tell("side", this.send); // first: pictures without the mark are taken as ever
    const shown = this.paired ?? this.view.source?.stream.getVideoTracks()[0];
    if (this.paired !== track || !shown) return;
    await this.call?.replace(shown);
    if (track) return;
    await new Promise((resolve) => window.setTimeout(resolve, ON_ITS_WAY));
    if (this.paired === null) await this.matteWish.tell("none", this.send);
  }

  /** Hang up and let the camera go. */
  stop(): void {
    this.asked += 1;
    this.letGo();
  }

  private letGo(): void {
    this.microphone.drop();
    this.hangUp();
    this.resume = null;
    this.view.source?.stop();
    this.set({
      phase: { state: "idle" }, source: null, sourceProblem: null, output: null, stats: null, sound: "off",
      muted: false, lostOutputs: [],
    });
  }

  /** Ask for a size, now and of every later call; the server's own needs no asking. */
  resize(size: Size, own: Size): void {
    this.set({ sizeProblem: null }); // also where somebody goes back to what is in force
    if (this.sizeWish.choose(size, own)) this.askSize();
  }

  unauthorised(): void {
    this.hangUp();
    this.set({ phase: { state: "unauthorised" } });
  }

  authorised(): void {
    this.attempt = 0;
    if (this.view.source) void this.connect();
    else this.set({ phase: firstPhase() });
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
    const call = this.newCall();
    if (!call) return;
    this.call = call;
    try {
      const matte = this.paired ? "side" : "none";
      await call.start(track, this.soundTrack(), { style: this.style.values(), resume: this.resume, matte, name: keptName() });
      if (this.call === call) this.resume = call.resume;
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

  /** Null where the browser makes no calls: a setting, a policy or an extension forbids it. */
  private newCall(): PeerCall | null {
    try {
      const call: PeerCall = new PeerCall({
        stream: (output) => this.set({ output }),
        message: (message) => {
          if (this.call === call) this.receive(message); // one may come after the call was ended
        },
        open: () => this.opened(call),
        lost: (reason) => this.retry({ state: "gone", reason }, backoff(this.attempt++)),
      });
      return call;
    } catch {
      this.set({ phase: { state: "unsupported" } });
      return null;
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

  private readonly send = (message: ClientMessage): boolean => this.call?.send(message) ?? false;

  /** What is to be heard, silent where that was asked for. */
  private soundTrack(): MediaStreamTrack | null {
    const { sound, source, muted } = this.view;
    const given = source?.stream.getAudioTracks()[0] ?? null;
    const track = { off: null, microphone: this.microphone.track, source: given }[sound];
    if (track) track.enabled = !muted;
    return track;
  }

  private async sendSound(): Promise<void> {
    await this.call?.replaceSound(this.soundTrack());
  }

  private askSize(): void {
    const resizing = this.sizeWish.ask(this.view.size, this.send);
    if (resizing !== null) this.set({ resizing });
  }

  private opened(call: PeerCall): void {
    this.attempt = 0;
    this.set({ phase: { state: "live" }, viewer: call.viewer });
    this.style.connected((seq, style) => call.send({ type: "style", seq, style }));
    this.askSize();
    this.roundTrip.begin((seq) => call.send({ type: "ping", seq }));
  }

  private receive(message: ServerMessage): void {
    if (message.type === "stats") {
      const { stats, engine, outputs, state } = message;
      const phase: Phase = { state: state === "stalled" ? "stalled" : "live" };
      this.set({
        stats, engine, outputs, lostOutputs: stillLost(this.view.lostOutputs, outputs),
        ...(state === "connecting" ? {} : { phase }), // no picture has come there yet
      });
      if (engine === "running" && this.sizeWish.isDue) this.askSize();
    } else if (message.type === "applied") {
      this.style.applied(message.seq, message.frame, message.hint ?? null, message.style);
    } else if (message.type === "changed") {
      this.style.changed(message.frame, message.hint ?? null, message.style);
    } else if (message.type === "resized") {
      const { width, height } = message;
      this.set({ size: { width, height }, resizing: !this.sizeWish.isNewest(message.seq) });
    } else if (message.type === "matte") {
      this.matteWish.answered(message.seq);
    } else if (message.type === "error" && this.sizeWish.isNewest(message.seq)) {
      if (message.code === "engine_away" && this.sizeWish.keep()) return; // it comes once the engine is back
      this.sizeWish.drop(this.view.size);
      this.set({ resizing: false, sizeProblem: `${message.detail} (${message.id})` });
    } else if (message.type === "error") {
      const { seq, code, detail } = message;
      if (ofStyle(seq)) this.style.refused(seq, detail, code === "too_fast");
    } else if (message.type === "pong") {
      const roundTrip = this.roundTrip.answered(message.seq);
      if (roundTrip !== null) this.set({ roundTrip });
    } else this.ended(message.reason);
  }

  private ended(reason: string): void {
    if (reason !== "draining") this.call?.ended(); // one that drains waits until its places are given back
    if (reason === "draining" || reason === "idle") {
      this.retry({ state: "gone", reason: reason === "idle" ? reason : "server" }, backoff(this.attempt++));
      return;
    }
    this.hangUp();
    this.set({ phase: { state: "ended", reason } });
  }

  private retry(phase: Phase, after: number): void {
    const lostOutputs = lostWith(this.view.outputs, this.view.lostOutputs);
    this.hangUp();
    this.set({ phase, lostOutputs, retryAt: Date.now() + after });
    this.timer = window.setTimeout(() => void this.connect(), after);
  }

  private hangUp(): void {
    window.clearTimeout(this.timer);
    this.roundTrip.end();
    const { call } = this;
    this.call = null;
    this.matteWish.giveUp();
    call?.close();
    this.set({
      retryAt: null, roundTrip: null, viewer: null, outputs: [], size: null, resizing: false,
      engine: "running",
    });
  }
}
