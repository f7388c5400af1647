import {
  type Answer,
  type ClientMessage,
  type ServerMessage,
  type Wishes,
  deleteSession,
  iceServers,
  postOffer,
} from "@/api/client";

export interface PeerEvents {
  stream: (stream: MediaStream) => void;
  message: (message: ServerMessage) => void;
  /** The control channel is open: the call is up. */
  open: () => void;
  /** The connection is gone, or never came: media does not get through. Called once, and not after close(). */
  lost: (why: "server" | "media") => void;
}

/** What somebody needs to watch a session, and nothing else of it. */
export interface Viewer {
  readonly id: string;
  readonly name: string | null;
  readonly token: string;
}

const GATHERING = 1000; // ms; a candidate that is later than that is not needed on a LAN
const SILENCE = 4000; // ms without figures (they come twice a second): the server is gone
const CONNECTING = 15_000; // ms from the answer until the control channel is open

const CONFIGURATION: RTCConfiguration = {
  bundlePolicy: "max-bundle", // else addresses are gathered for picture, sound and control each
};

/** One WebRTC call to the server. Made, used, closed; never reused. */
export class PeerCall {
  private readonly connection = new RTCPeerConnection(CONFIGURATION);
  private readonly control: RTCDataChannel;
  private readonly events: PeerEvents;
  private output = new MediaStream();
  private picture: RTCRtpSender | null = null;
  private sound: RTCRtpSender | null = null;
  private session: Answer | null = null;
  private closed = false;
  private opened = false;
  private late = 0;
  private heard = performance.now();
  private watch = 0;

  constructor(events: PeerEvents) {
    this.events = events;
    this.control = this.connection.createDataChannel("control");
    this.control.onopen = () => {
      window.clearTimeout(this.late);
      this.opened = true;
      this.heard = performance.now();
      this.watch = window.setInterval(() => this.checkSilence(), 1000);
      events.open();
    };
    this.control.onmessage = (event: MessageEvent<string>) => {
      this.heard = performance.now();
      events.message(JSON.parse(event.data) as ServerMessage);
    };
    this.control.onclose = () => this.lose();
    this.connection.ontrack = ({ track, receiver }) => {
      if ("jitterBufferTarget" in receiver) receiver.jitterBufferTarget = 0; // newest frame wins
      if (track.kind === "video") this.give(track);
      // sound that never comes would keep a recorder waiting
      else track.addEventListener("unmute", () => this.give(track), { once: true });
    };
    this.connection.onconnectionstatechange = () => {
      if (this.connection.connectionState === "failed") this.lose();
    };
  }

  /** Offer the track, and sound, which may come later. Throws Refused. */
  async start(
    track: MediaStreamTrack,
    sound: MediaStreamTrack | null,
    wishes: Wishes,
  ): Promise<void> {
    await this.takeRelays();
    const transceiver = this.connection.addTransceiver(track, { direction: "sendrecv" });
    preferCheapCodecs(transceiver);
    this.picture = transceiver.sender;
    this.sound = this.connection.addTransceiver(sound ?? "audio", { direction: "sendrecv" }).sender;
    await this.connection.setLocalDescription();
    await this.gathered();
    const answer = await postOffer(this.connection.localDescription?.sdp ?? "", wishes);
    if (this.closed) {
      deleteSession(answer.id, answer.token); // closed while the offer was on its way
      return;
    }
    this.session = answer;
    if (!this.opened) this.late = window.setTimeout(() => this.lose(), CONNECTING);
    await this.connection.setRemoteDescription({ type: "answer", sdp: answer.sdp });
  }

  private async takeRelays(): Promise<void> {
    const relays = await iceServers();
    if (!this.closed) this.connection.setConfiguration({ ...CONFIGURATION, iceServers: relays });
  }

  /** The control channel takes messages, and what is sent may be replaced. */
  get isOpen(): boolean {
    return this.control.readyState === "open";
  }

  /** Change what is sent without a new call. */
  async replace(track: MediaStreamTrack): Promise<void> {
    await this.picture?.replaceTrack(track);
  }

  /** Send other sound, or none, without a new call. */
  async replaceSound(track: MediaStreamTrack | null): Promise<void> {
    await this.sound?.replaceTrack(track);
  }

  /** Which session this is and the token that lets watch it; null before the answer. */
  get viewer(): Viewer | null {
    return this.session && { id: this.session.id, name: this.session.name, token: this.session.viewer_token };
  }

  /** What brings this session back after its connection was lost; null before the answer. */
  get resume(): string | null {
    return this.session?.resume ?? null;
  }

  /** Send a control message; says whether the channel took it. */
  send(message: ClientMessage): boolean {
    if (!this.isOpen) return false;
    this.control.send(JSON.stringify(message));
    return true;
  }

  /** The server has ended the session: there is no place to give back. */
  ended(): void {
    this.session = null;
  }

  close(): void {
    if (this.closed) return;
    this.closed = true;
    this.stopWatching();
    if (this.session) deleteSession(this.session.id, this.session.token);
    this.connection.close();
  }

  private give(track: MediaStreamTrack): void {
    this.output = new MediaStream([...this.output.getTracks(), track]);
    this.events.stream(this.output);
  }

  private lose(): void {
    if (this.closed) return;
    this.closed = true;
    this.stopWatching();
    this.connection.close(); // the session stays: it is brought back, or ends by itself
    this.events.lost(this.opened ? "server" : "media");
  }

  private stopWatching(): void {
    window.clearTimeout(this.late);
    window.clearInterval(this.watch);
  }

  private checkSilence(): void {
    if (performance.now() - this.heard > SILENCE) this.lose();
  }

  private gathered(): Promise<void> {
    const { connection } = this;
    if (connection.iceGatheringState === "complete") return Promise.resolve();
    return new Promise((resolve) => {
      const timer = window.setTimeout(resolve, GATHERING);
      connection.addEventListener("icegatheringstatechange", () => {
        if (connection.iceGatheringState !== "complete") return;
        window.clearTimeout(timer);
        resolve();
      });
    });
  }
}

/** H264 baseline, then VP8: what the server decodes and encodes at the least cost. */
function preferCheapCodecs(transceiver: RTCRtpTransceiver): void {
  const codecs = RTCRtpReceiver.getCapabilities("video")?.codecs ?? [];
  const rank = ({ mimeType, sdpFmtpLine = "" }: RTCRtpCodec): number => {
    if (mimeType === "video/H264" && /42[0-9a-f]{2}1f/i.test(sdpFmtpLine)) {
      return sdpFmtpLine.includes("packetization-mode=1") ? 0 : 9;
    }
    return mimeType === "video/VP8" ? 1 : mimeType === "video/rtx" ? 2 : 9;
  };
  const wanted = codecs.filter((codec) => rank(codec) < 9).sort((a, b) => rank(a) - rank(b));
  if (wanted.length > 0) transceiver.setCodecPreferences(wanted);
}
