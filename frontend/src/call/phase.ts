import type { Refused } from "@/api/client";

/** Why a source did not open. `system`: that keeps it from the browser. */
export type MediaProblem = "refused" | "missing" | "busy" | "system";

/** Why a call is made again: nobody answers, media does not get through, or no frames came from here. */
export type Gone = "server" | "media" | "idle";

/** What the page is doing, for the person in front of it. `id`: of a refusal, in the server's log. */
export type Phase = { id?: string | undefined } & Doing;

type Doing =
  | { state: "idle" }
  | { state: "asking" }
  | { state: "denied"; reason: MediaProblem }
  | { state: "connecting" }
  | { state: "live" }
  | { state: "stalled" }
  | { state: "loading" }
  | { state: "full" }
  | { state: "barred" }
  | { state: "gone"; reason: Gone }
  | { state: "ended"; reason: string }
  | { state: "unauthorised" }
  | { state: "rejected"; detail: string }
  | { state: "insecure" }
  | { state: "unsupported" };

export type PhaseName = Phase["state"];

/** The person closed the browser's picker: a choice, nothing that went wrong. */
export class Cancelled extends Error {}

const FIRST = 500; // ms
const MOST = 8000;

/** How long to wait before try number `attempt` (from 0), spread so that pages do not come at once. */
export function backoff(attempt: number, random = Math.random()): number {
  return Math.min(FIRST * 2 ** attempt, MOST) * (0.75 + 0.5 * random);
}

export interface Retry {
  phase: Phase;
  /** Milliseconds until the next try; null: trying again is no use. */
  after: number | null;
}

/** What a refused offer means, and whether to try again. */
export function afterRefusal(refused: Refused, attempt: number): Retry {
  const { phase, after } = meaning(refused, attempt);
  return { phase: { ...phase, id: refused.id }, after };
}

function meaning(refused: Refused, attempt: number): Retry {
  const wait = refused.retryAfter === undefined ? backoff(attempt) : refused.retryAfter * 1000;
  if (refused.status === 401) return { phase: { state: "unauthorised" }, after: null };
  if (refused.code === "engine_failed") {
    return { phase: { state: "ended", reason: refused.code }, after: null };
  }
  if (refused.code === "loading") return { phase: { state: "loading" }, after: 1000 };
  if (refused.code === "too_many_bad_tokens") return { phase: { state: "barred" }, after: wait };
  if (refused.code === "full" || refused.status === 429) {
    return { phase: { state: "full" }, after: wait };
  }
  if (refused.status === 0 || refused.status >= 500) {
    return { phase: { state: "gone", reason: "server" }, after: backoff(attempt) };
  }
  return { phase: { state: "rejected", detail: refused.message }, after: null };
}

/** What a failed request for a camera or screen means. */
export function mediaProblem(error: unknown): MediaProblem {
  const { name, message } = error instanceof DOMException ? error : { name: "", message: "" };
  if (name === "NotAllowedError" || name === "SecurityError") {
    return message.includes("by system") ? "system" : "refused";
  }
  return name === "NotReadableError" || name === "AbortError" ? "busy" : "missing";
}

/** Say whether this page may use a camera at all, and make calls. */
export function firstPhase(): Phase {
  if (!window.isSecureContext) return { state: "insecure" };
  return typeof RTCPeerConnection === "undefined" ? { state: "unsupported" } : { state: "idle" };
}
