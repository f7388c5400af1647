import type { EngineState, OutputKind, OutputState, Stats, Style, StylePatch } from "@/api/client";

import type { Viewer } from "./peer-call";
import type { MediaProblem, Phase } from "./phase";
import type { Size } from "./size";

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
  /** Why another source did not take the place of this one. */
  sourceProblem: MediaProblem | null;
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
  /** What the server sent elsewhere until the connection was lost, and nobody has started again. */
  lostOutputs: readonly OutputKind[];
  /** What is heard with the picture; it is never played here, only sent on and recorded. */
  sound: Sound;
  /** Which microphone is heard; empty where none is or the browser does not say. */
  microphone: string;
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
  /** The server did not take this change, or a message of which it read no number; too fast: it may later. */
  refused(seq: number | null, problem: string, tooFast: boolean): void;
}

export const IDLE: LiveState = {
  phase: { state: "idle" }, source: null, sourceProblem: null, output: null, stats: null, size: null,
  resizing: false, sizeProblem: null, engine: "running", outputs: [], lostOutputs: [], sound: "off",
  microphone: "", muted: false, viewer: null, roundTrip: null, retryAt: null,
};

/** Say whether an output still goes, or tries to. */
export const goes = ({ state }: OutputState): boolean => state !== "failed" && state !== "ended";

/** The kinds that a lost connection takes along, with those that it took before. */
export function lostWith(outputs: readonly OutputState[], before: readonly OutputKind[]): OutputKind[] {
  return [...new Set([...before, ...outputs.filter(goes).map(({ kind }) => kind)])];
}

/** What is still lost once the server tells what goes. */
export function stillLost(lost: readonly OutputKind[], outputs: readonly OutputState[]): readonly OutputKind[] {
  if (lost.length === 0) return lost;
  return lost.filter((kind) => !outputs.some((output) => output.kind === kind && goes(output)));
}
