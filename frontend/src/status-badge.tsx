import type { Phase, PhaseName } from "@/call/phase";
import { STRINGS } from "@/strings";

const GOOD: PhaseName[] = ["live"];
const BUSY: PhaseName[] = ["asking", "connecting", "loading", "gone", "stalled", "full"];

/** What the page is doing; read out when it changes. */
export function StatusBadge({ phase }: { phase: Phase }) {
  const { state } = phase;
  const colour = GOOD.includes(state)
    ? "bg-emerald-500"
    : BUSY.includes(state)
      ? "bg-amber-500 animate-pulse"
      : state === "idle"
        ? "bg-slate-400"
        : "bg-rose-500";
  return (
    <span
      role="status"
      data-testid="status"
      data-state={state}
      className="flex min-w-0 items-center gap-2 rounded-full border border-line bg-raised px-3 py-1.5 text-sm"
    >
      <span aria-hidden="true" className={`size-2.5 shrink-0 rounded-full ${colour}`} />
      <span className="truncate">{STRINGS.status[state]}</span>
    </span>
  );
}
