import type { Refused } from "@/api/client";

/** What the page is doing, for the person in front of it. */
export type Phase =
  | { state: "idle" }
  | { state: "asking" }
  | { state: "denied"; reason: "refused" | "missing" | "busy" }
  | { state: "connecting" }
  | { state: "live" }
  | { state: "stalled" }
  | { state: "loading" }
  | { state: "full" }
  | { state: "gone" }
  | { state: "ended"; reason: string }
  | { state: "unauthorised" }
  | { state: "rejected"; detail: string }
  | { state: "insecure" };

export type PhaseName = Phase["state"];

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
  const wait = refused.retryAfter === undefined ? backoff(attempt) : refused.retryAfter * 1000;
  if (refused.status === 401) return { phase: { state: "unauthorised" }, after: null };
  if (refused.code === "engine_failed") {
    return { phase: { state: "ended", reason: refused.code }, after: null };
  }
  if (refused.code === "loading") return { phase: { state: "loading" }, after: 1000 };
  if (refused.code === "full" || refused.status === 429) {
    return { phase: { state: "full" }, after: wait };
  }
  if (refused.status === 0 || refused.status >= 500) {
    return { phase: { state: "gone" }, after: backoff(attempt) };
  }
  return { phase: { state: "rejected", detail: refused.message }, after: null };
}

/** What a failed request for a camera or screen means. */
export function afterMediaError(error: unknown): Phase {
  const name = error instanceof DOMException ? error.name : "";
  if (name === "NotAllowedError" || name === "SecurityError") {
    return { state: "denied", reason: "refused" };
  }
  if (name === "NotReadableError" || name === "AbortError") {
    return { state: "denied", reason: "busy" };
  }
  return { state: "denied", reason: "missing" };
}
