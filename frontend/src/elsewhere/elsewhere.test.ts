import { describe, expect, it } from "vitest";

import { type NewSource, Refused, type SessionState, type Style } from "@/api/client";
import { DEFAULTS } from "@/style/style-store";

import { Elsewhere, type ElsewhereCalls, figuresOf, titleOf } from "./elsewhere";

const SOURCE: SessionState["source"] = {
  kind: "url", at: "rtsp://camera.local/live", position: null, duration: null, loop: null,
  sound: false, state: "live", losses: 0, problem: null,
};

const session = (change: Partial<SessionState>): SessionState => ({
  id: "a", name: null, state: "live", engine: "running", style: { ...DEFAULTS, prompt: "ink" }, hint: null,
  width: 384, height: 256, matte: "none", viewers: 0, viewer_token: "t", muted: false, source: null,
  stats: {
    fps_in: 30, fps_out: 21.7, frames_in: 1, frames_out: 1, skipped: 0, dropped: 0,
    age_ms: { p50: null, p95: null }, stages_ms: {}, flicker: null,
  },
  ...change,
});

/** A server that notes what it is asked. */
class Server implements ElsewhereCalls {
  sessions: SessionState[] = [];
  refuses: Error | null = null;
  readonly asked: unknown[] = [];

  list = () => Promise.resolve(this.sessions);
  open = (source: NewSource) => this.note("open", source);
  restyle = (id: string, style: Style) => this.note("restyle", id, style);
  end = (id: string) => this.note("end", id);

  private note(...what: unknown[]): Promise<void> {
    this.asked.push(what);
    return this.refuses ? Promise.reject(this.refuses) : Promise.resolve();
  }
}

describe("what is shown of a session", () => {
  it.each([
    [{}, "Sent by a page or a program", "384 × 256 · 22 fps · ink"],
    [{ name: "desk", source: SOURCE }, "desk · rtsp://camera.local/live", "384 × 256 · 22 fps · ink"],
    [
      { engine: "held" as const },
      "Sent by a page or a program",
      "384 × 256 · Untouched: kept out of the engine · ink",
    ],
    [{ state: "stalled" as const }, "Sent by a page or a program", "384 × 256 · No frames arrive · ink"],
    [
      { source: { ...SOURCE, state: "retrying" as const, problem: "it hung up" }, style: DEFAULTS },
      "rtsp://camera.local/live",
      "384 × 256 · Trying again: it hung up · no prompt",
    ],
  ])("%o", (change, title, figures) => {
    expect(titleOf(session(change))).toBe(title);
    expect(figuresOf(session(change))).toBe(figures);
  });
});

describe("sessions elsewhere", () => {
  it("are those of the server after each press", async () => {
    const server = new Server();
    const elsewhere = new Elsewhere(server);
    const source: NewSource = { kind: "file", at: "clip.mp4", style: { prompt: "ink" } };
    server.sessions = [session({})];
    expect(await elsewhere.open(source)).toBe(true);
    expect(elsewhere.get()).toEqual({ sessions: [session({})], busy: false, said: "" });

    expect(await elsewhere.restyle("a", DEFAULTS)).toBe(true);
    expect(elsewhere.get().said).toBe("It has the style of this page now.");
    server.sessions = [];
    expect(await elsewhere.end("a")).toBe(true);
    expect(elsewhere.get().sessions).toEqual([]);
    expect(server.asked).toEqual([["open", source], ["restyle", "a", DEFAULTS], ["end", "a"]]);
  });

  it("tell what the server refused, and stay", async () => {
    const server = new Server();
    const elsewhere = new Elsewhere(server);
    server.sessions = [session({})];
    server.refuses = new Refused(403, "source_not_allowed", "url: none is allowed");
    expect(await elsewhere.open({ kind: "url", at: "rtsp://x/y", style: {} })).toBe(false);
    expect(elsewhere.get()).toEqual({ sessions: [session({})], busy: false, said: "url: none is allowed" });
  });

  it("stay while the server is away", async () => {
    const server = new Server();
    const elsewhere = new Elsewhere(server);
    server.sessions = [session({})];
    await elsewhere.look();
    server.list = () => Promise.reject(new Refused(0, "unreachable", "The server does not answer."));
    await elsewhere.look();
    expect(elsewhere.get().sessions).toHaveLength(1);
  });

  it("are those of the newest question, whichever answer comes last", async () => {
    const server = new Server();
    const elsewhere = new Elsewhere(server);
    let late: (sessions: SessionState[]) => void = () => undefined;
    server.list = () => new Promise((resolve) => (late = resolve));
    const first = elsewhere.look();
    server.list = () => Promise.resolve([]);
    await elsewhere.look();
    late([session({})]);
    await first;
    expect(elsewhere.get().sessions).toEqual([]);
  });
});
