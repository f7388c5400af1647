import {
  type NewOutput,
  type OutputKind,
  type OutputList,
  type OutputState,
  Refused,
} from "@/api/client";
import { STRINGS } from "@/strings";
import { goes } from "@/call/live-state";
import { Store } from "@/store";

import { clock } from "./recording";

export const KINDS = ["recording", "virtual_camera", "rtmp", "srt"] as const;

/** What a kind wants to know before it starts; secrets are not shown while they are typed. */
export const FIELDS = {
  recording: [],
  virtual_camera: [],
  rtmp: ["url", "key"],
  srt: ["url", "streamid", "passphrase"],
} as const satisfies Record<OutputKind, readonly (keyof typeof STRINGS.outputFields)[]>;

export type Fields = Partial<Record<keyof typeof STRINGS.outputFields, string>>;

/** What outputs show where overlays are transparent. */
export type Backdrop = keyof typeof STRINGS.backdrops;
export const BLACK: Backdrop = "#000000";

/** Say how an output does: "0:12 · 361 frames · 1.2 MB · 3 dropped". */
export function figures({ seconds, frames, bytes, dropped }: OutputState): string {
  const parts = [clock(seconds * 1000), STRINGS.frames(frames)];
  if (bytes > 0) parts.push(`${(bytes / 1e6).toFixed(1)} MB`);
  if (dropped > 0) parts.push(STRINGS.lost(dropped));
  return parts.join(" · ");
}

/** Put together what is posted; fields that are left empty are left out. */
export function wanted(kind: OutputKind, fields: Fields, backdrop: Backdrop): NewOutput {
  const filled = FIELDS[kind]
    .map((name) => [name, fields[name]?.trim() ?? ""] as const)
    .filter(([, value]) => value !== "");
  return { kind, backdrop, ...Object.fromEntries(filled) } as NewOutput;
}

/** Give a problem in words, with the id under which the server's log has it. */
export const told = (problem: string, id: string | undefined): string => (id ? `${problem} (${id})` : problem);

export interface OutputCalls {
  list(session: string): Promise<OutputList>;
  start(session: string, wanted: NewOutput): Promise<OutputState>;
  end(session: string, id: string): Promise<OutputState>;
}

export interface OutputsView {
  /** Why a kind cannot be started here, null: it can; nothing before the server has said. */
  kinds: Readonly<Record<string, string | null>>;
  /** Kinds that wait for the server. */
  busy: readonly OutputKind[];
  /** What came of the last press, where it needs words. */
  said: Readonly<Partial<Record<OutputKind, string>>>;
}

/** Starts and ends the outputs of one session. How they do comes with the call's figures. */
export class Outputs extends Store<OutputsView> {
  private readonly session: string;
  private readonly calls: OutputCalls;

  constructor(session: string, calls: OutputCalls) {
    super({ kinds: {}, busy: [], said: {} });
    this.session = session;
    this.calls = calls;
  }

  /** Ask what may be started here. */
  async look(): Promise<void> {
    try {
      this.set({ kinds: (await this.calls.list(this.session)).kinds });
    } catch {
      // the call itself tells of a server that is away
    }
  }

  /** End what goes of a kind; else start it, in place of those that failed. */
  async toggle(kind: OutputKind, all: readonly OutputState[], fields: Fields, backdrop: Backdrop): Promise<void> {
    if (this.view.busy.includes(kind)) return;
    this.set({ busy: [...this.view.busy, kind], said: { ...this.view.said, [kind]: "" } });
    const its = all.filter((output) => output.kind === kind);
    try {
      const ended = await Promise.all(its.map(({ id }) => this.calls.end(this.session, id)));
      const last = ended.at(-1);
      if (!its.some(goes)) await this.calls.start(this.session, wanted(kind, fields, backdrop));
      else if (last) this.say(kind, STRINGS.outputEnded(last.target, figures(last)));
    } catch (error) {
      this.say(kind, error instanceof Refused ? told(error.message, error.id) : STRINGS.status.gone);
    }
    this.set({ busy: this.view.busy.filter((other) => other !== kind) });
  }

  private say(kind: OutputKind, text: string): void {
    this.set({ said: { ...this.view.said, [kind]: text } });
  }
}
