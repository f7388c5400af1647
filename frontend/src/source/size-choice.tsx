import { useEffect, useState } from "react";

import type { LiveState } from "@/call/live-state";
import { SIDES, type Size, type SizeChoice as Choice, sizeFor, sizeOf } from "@/call/size";
import { STRINGS } from "@/strings";
import { SHORT_CHOICE } from "@/ui/controls";

const KEPT = "restyle.size";

interface SizeChoiceProps {
  live: LiveState;
  step: number;
  own: Size;
  onChange: (size: Size, own: Size) => void;
}

/** How large the restyled picture is, and whether it has the source's shape. */
export function SizeChoice({ live, step, own, onChange }: SizeChoiceProps) {
  const [choice, setChoice] = useState<Choice>(() => recall() ?? { side: own.height, shape: "square" });
  const { width, height } = sizeOf(live.source?.stream) ?? { width: 0, height: 0 };
  useEffect(() => {
    onChange(sizeFor(choice, width && height ? { width, height } : null, step), own);
  }, [choice, width, height, step, own, onChange]);

  const choose = (change: Partial<Choice>): void => {
    const next = { ...choice, ...change };
    localStorage.setItem(KEPT, JSON.stringify(next));
    setChoice(next);
  };
  const sides = SIDES.filter((side) => side % step === 0);
  return (
    <>
      <select
        data-testid="size"
        aria-label={STRINGS.size}
        title={live.resizing ? STRINGS.sizeComing : STRINGS.sizeHint}
        aria-busy={live.resizing}
        className={`${SHORT_CHOICE} ${live.resizing ? "animate-pulse" : ""}`}
        value={choice.side}
        onChange={(event) => choose({ side: Number(event.target.value) })}
      >
        {sides.map((side) => (
          <option key={side}>{side}</option>
        ))}
      </select>
      <select
        data-testid="shape"
        aria-label={STRINGS.shape}
        className={SHORT_CHOICE}
        value={choice.shape}
        onChange={(event) => choose({ shape: event.target.value as Choice["shape"] })}
      >
        <option value="square">{STRINGS.square}</option>
        <option value="source">{STRINGS.asSource}</option>
      </select>
      {live.sizeProblem && (
        <p role="alert" data-testid="size-problem" className="order-last w-full text-sm text-muted">
          {STRINGS.noSize(live.sizeProblem)}
        </p>
      )}
    </>
  );
}

function recall(): Choice | null {
  try {
    const kept = JSON.parse(localStorage.getItem(KEPT) ?? "null") as Partial<Choice> | null;
    const side = SIDES.find((each) => each === kept?.side);
    const shape = kept?.shape === "source" ? "source" : "square";
    return side ? { side, shape } : null;
  } catch {
    return null;
  }
}
