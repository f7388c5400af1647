import { type NewSource, Refused, type SessionState, type Style } from "@/api/client";
import { STRINGS } from "@/strings";
import { Store } from "@/store";

export const KINDS = ["url", "file", "image", "device"] as const satisfies readonly NewSource["kind"][];

export interface ElsewhereCalls {
  list(): Promise<readonly SessionState[]>;
  open(source: NewSource): Promise<unknown>;
  restyle(session: string, style: Style): Promise<unknown>;
  end(session: string): Promise<unknown>;
}

export interface ElsewhereView {
  sessions: readonly SessionState[];
  busy: boolean;
  /** What came of the last press, where it needs words. */
  said: string;
}

/** Name what a session shows: its own name, what the server opened for it, or that it is sent. */
export function titleOf({ name, source }: SessionState): string {
  return [name, source?.at].filter(Boolean).join(" · ") || STRINGS.elsewhere.sent;
}

/** Say how a session does: "256 × 256 · 22 fps · a pencil drawing". */
export function figuresOf({ width, height, stats, style, state, engine, source }: SessionState): string {
  const parts = [`${width} × ${height}`];
  if (source?.state === "retrying") parts.push(STRINGS.elsewhere.retrying(source.problem ?? ""));
  else if (state !== "live") parts.push(STRINGS.elsewhere.states[state]);
  else if (engine !== "running") parts.push(STRINGS.engine[engine]);
  else parts.push(`${Math.round(stats.fps_out)} ${STRINGS.fps}`);
  parts.push(style.prompt || STRINGS.morph.empty);
  return parts.join(" · ");
}

/** The sessions of the server that this page did not make: cameras it opened, what others send. */
export class Elsewhere extends Store<ElsewhereView> {
  private readonly calls: ElsewhereCalls;
  private asked = 0; // counts looks; an answer to an earlier one is stale

  constructor(calls: ElsewhereCalls) {
    super({ sessions: [], busy: false, said: "" });
    this.calls = calls;
  }

  /** Ask who is there. What is shown stays while the server is away: the call itself tells of that. */
  async look(): Promise<void> {
    const asked = ++this.asked;
    try {
      const sessions = await this.calls.list();
      if (asked === this.asked) this.set({ sessions });
    } catch {
      // asked again in a moment
    }
  }

  open(source: NewSource): Promise<boolean> {
    return this.act(() => this.calls.open(source), "");
  }

  restyle(session: string, style: Style): Promise<boolean> {
    return this.act(() => this.calls.restyle(session, style), STRINGS.elsewhere.given);
  }

  end(session: string): Promise<boolean> {
    return this.act(() => this.calls.end(session), "");
  }

  private async act(call: () => Promise<unknown>, said: string): Promise<boolean> {
    this.set({ busy: true, said: "" });
    let done = true;
    try {
      await call();
    } catch (error) {
      done = false;
      said = error instanceof Refused ? error.message : STRINGS.status.gone;
    }
    await this.look();
    this.set({ busy: false, said });
    return done;
  }
}
