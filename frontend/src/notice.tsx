import { type SyntheticEvent, useEffect, useState } from "react";

import { enter } from "@/api/client";
import type { LiveState, Source } from "@/call/live-state";
import type { Phase } from "@/call/phase";
import { SourceButtons } from "@/source/source-bar";
import { STRINGS } from "@/strings";
import { Button, INPUT } from "@/ui/controls";

interface NoticeProps {
  live: LiveState;
  onOpen: (open: () => Promise<Source>) => void;
  onHurry: () => void;
  onToken: () => void;
}

/** Over the picture: what is wrong, what to do, when it is tried again. Nothing while all is well. */
export function Notice({ live, onOpen, onHurry, onToken }: NoticeProps) {
  const text = explain(live.phase);
  if (text === null) return null;
  const calm = ["gone", "loading", "full", "barred"].includes(live.phase.state);
  return (
    <div className="absolute inset-0 grid overflow-y-auto bg-stage/70 p-5 backdrop-blur-sm [place-items:safe_center]">
      <div className="card flex max-w-md flex-col gap-3 text-center">
        <div role="alert" className="flex flex-col gap-3">
          <h2 className="text-lg font-semibold">{STRINGS.status[live.phase.state]}</h2>
          <p className="text-sm text-balance text-muted">{text}</p>
        </div>
        {asksForSource(live.phase) && <SourceButtons large onOpen={onOpen} active={null} />}
        {live.phase.state === "unauthorised" && <TokenForm refusal={live.phase} onToken={onToken} />}
        {calm && live.retryAt !== null && (
          <p className="flex items-center justify-center gap-3 text-sm text-muted">
            <Countdown to={live.retryAt} />
            <Button onClick={onHurry}>{STRINGS.retryNow}</Button>
          </p>
        )}
        {live.phase.id !== undefined && !calm && <p className="text-xs text-muted">{STRINGS.inLog(live.phase.id)}</p>}
      </div>
    </div>
  );
}

/** Say whether it goes on once a source is chosen. */
export const asksForSource = ({ state }: Phase): boolean => state === "denied" || state === "ended";

function explain(phase: Phase): string | null {
  switch (phase.state) {
    case "denied":
    case "gone":
      return STRINGS.explain[phase.reason];
    case "ended":
      return STRINGS.explain[phase.reason as "lifetime"];
    case "rejected":
      return phase.detail;
    case "full":
    case "loading":
    case "barred":
    case "unauthorised":
    case "insecure":
    case "unsupported":
      return STRINGS.explain[phase.state];
    default:
      return null;
  }
}

interface TokenFormProps {
  /** Each refusal is a phase of its own, so another one than at the press answers it. */
  refusal: Phase;
  onToken: () => void;
}

function TokenForm({ refusal, onToken }: TokenFormProps) {
  const [token, setToken] = useState("");
  const [pressedAt, setPressedAt] = useState<Phase | null>(null);
  const submit = (event: SyntheticEvent): void => {
    event.preventDefault();
    setToken("");
    setPressedAt(refusal);
    void enter(token.trim()).catch(() => undefined).then(onToken); // a used link is told as before
  };
  return (
    <form onSubmit={submit} className="flex flex-wrap gap-2">
      <input
        aria-label={STRINGS.token}
        placeholder={STRINGS.token}
        type="password"
        autoComplete="off"
        className={`${INPUT} min-w-0 flex-1`}
        value={token}
        onChange={(event) => setToken(event.target.value)}
      />
      <Button look="strong" type="submit" disabled={token.trim() === ""}>
        {STRINGS.open}
      </Button>
      {pressedAt !== null && pressedAt !== refusal && (
        <p role="alert" className="w-full text-sm">
          {STRINGS.wrongToken}
        </p>
      )}
    </form>
  );
}

function Countdown({ to }: { to: number }) {
  const [now, setNow] = useState(Date.now);
  useEffect(() => {
    const timer = window.setInterval(() => setNow(Date.now()), 250);
    return () => window.clearInterval(timer);
  }, []);
  return <span>{STRINGS.retryIn(Math.max(0, Math.ceil((to - now) / 1000)))}</span>;
}
