import { type EngineState, restartEngine } from "@/api/client";
import type { Phase, PhaseName } from "@/call/phase";
import { STRINGS } from "@/strings";
import { Button } from "@/ui/controls";

const GOOD: PhaseName[] = ["live"];
const BUSY: PhaseName[] = ["asking", "connecting", "loading", "gone", "stalled", "full"];

interface StatusBadgeProps {
  phase: Phase;
  engine: EngineState;
  /** What the server says of the style: of one that is held, what lets it in again. */
  hint: string | null;
}

/** What the page is doing, and why the picture is untouched; read out when it changes. */
export function StatusBadge({ phase, engine, hint }: StatusBadgeProps) {
  const { state } = phase;
  const untouched = state === "live" && engine !== "running" ? engine : null;
  const colour = untouched
    ? untouched === "failed" || untouched === "held"
      ? "bg-rose-500"
      : "bg-amber-500 animate-pulse"
    : GOOD.includes(state)
      ? "bg-emerald-500"
      : BUSY.includes(state)
        ? "bg-amber-500 animate-pulse"
        : state === "idle"
          ? "bg-slate-400"
          : "bg-rose-500";
  return (
    // on a phone in a line of its own where it is long
    <div className="ml-auto flex min-w-0 flex-wrap items-center justify-end gap-2 max-sm:order-last">
      <span
        role="status"
        data-testid="status"
        data-state={state}
        data-engine={engine}
        title={untouched === "held" && hint ? hint : undefined}
        className="flex items-center gap-2 rounded-full border border-line bg-raised px-3 py-1.5 text-sm"
      >
        <span aria-hidden="true" className={`size-2.5 shrink-0 rounded-full ${colour}`} />
        <span>{untouched ? STRINGS.engine[untouched] : STRINGS.status[state]}</span>
      </span>
      {untouched === "failed" && (
        <Button data-testid="restart-engine" onClick={() => void restartEngine().catch(() => undefined)}>
          {STRINGS.engineRetry}
        </Button>
      )}
    </div>
  );
}
