import { describe, expect, it } from "vitest";

import { Refused } from "@/api/client";

import { afterRefusal, backoff, mediaProblem } from "./phase";

describe("backoff", () => {
  it("grows, and stops growing", () => {
    const waits = [0, 1, 2, 3, 4, 5, 20].map((attempt) => backoff(attempt, 0.5));
    expect(waits).toEqual([500, 1000, 2000, 4000, 8000, 8000, 8000]);
  });

  it("spreads by a quarter each way", () => {
    expect(backoff(0, 0)).toBe(375);
    expect(backoff(0, 1)).toBe(625);
  });
});

describe("afterRefusal", () => {
  it("asks for the token at 401 and does not try again", () => {
    const { phase, after } = afterRefusal(new Refused(401, "unauthorised", ""), 0);
    expect(phase.state).toBe("unauthorised");
    expect(after).toBeNull();
  });

  it("waits as long as a full server says", () => {
    const { phase, after } = afterRefusal(new Refused(503, "full", "", 3), 5);
    expect(phase.state).toBe("full");
    expect(after).toBe(3000);
  });

  it("keeps trying a server that does not answer or drains", () => {
    expect(afterRefusal(new Refused(0, "unreachable", ""), 0).phase.state).toBe("gone");
    expect(afterRefusal(new Refused(503, "draining", "", 3), 0).after).not.toBeNull();
  });

  it("does not wait for an engine that failed", () => {
    const { phase, after } = afterRefusal(new Refused(503, "engine_failed", ""), 0);
    expect(phase).toEqual({ state: "ended", reason: "engine_failed" });
    expect(after).toBeNull();
  });

  it("tells who guessed tokens here from a full server, and lets both in later", () => {
    const { phase, after } = afterRefusal(new Refused(429, "too_many_bad_tokens", "", 40), 0);
    expect(phase.state).toBe("barred");
    expect(after).toBe(40_000);
    expect(afterRefusal(new Refused(429, "too_many_pending", ""), 0).phase.state).toBe("full");
  });

  it("tells loading from full", () => {
    expect(afterRefusal(new Refused(503, "loading", "", 3), 0).phase.state).toBe("loading");
  });

  it("does not repeat what the server finds wrong", () => {
    const { phase, after } = afterRefusal(new Refused(422, "no_codec", "why"), 0);
    expect(phase).toEqual({ state: "rejected", detail: "why" });
    expect(after).toBeNull();
  });
});

describe("mediaProblem", () => {
  it.each([
    ["NotAllowedError", "refused"],
    ["NotFoundError", "missing"],
    ["NotReadableError", "busy"],
  ])("%s is %s", (name, reason) => {
    expect(mediaProblem(new DOMException("", name))).toBe(reason);
  });
});
