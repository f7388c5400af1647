import { useEffect, useRef, useState } from "react";

import { STRINGS } from "@/strings";
import { Button, Fold, INPUT } from "@/ui/controls";
import { Icon } from "@/ui/icons";

import { LONGEST, type Part, parseBlend, sharesOf, writeBlend } from "./blend";

const TEXT = STRINGS.blend;
const PAUSE = 400; // ms without a key, as in the prompt box

interface BlendPanelProps {
  prompt: string;
  onCommit: (prompt: string) => void;
}

/** Several prompts at once, each with a weight; together they are the prompt of the box above. */
export function BlendPanel({ prompt, onCommit }: BlendPanelProps) {
  const { parts, edit, tooLong } = useBlend(prompt, onCommit);
  const shares = sharesOf(parts);
  const change = (index: number, part: Partial<Part>, wait = false): void =>
    edit(parts.map((old, at) => (at === index ? { ...old, ...part } : old)), wait);
  return (
    <Fold label={TEXT.title} testId="blend">
      <ul className="grid gap-3">
        {parts.map(({ text, weight }, index) => (
          <li key={index} className="grid grid-cols-[minmax(0,1fr)_auto] items-center gap-x-2">
            <input
              data-testid={`blend-text-${index}`}
              aria-label={TEXT.part(index + 1)}
              dir="auto"
              className={INPUT}
              value={text}
              onChange={(event) => change(index, { text: event.target.value }, true)}
            />
            <Button
              look="quiet"
              aria-label={TEXT.remove(index + 1)}
              title={TEXT.remove(index + 1)}
              disabled={parts.length === 1}
              onClick={() => edit(parts.filter((_, at) => at !== index))}
            >
              <Icon name="cross" size={16} />
            </Button>
            {parts.length > 1 && (
              <>
                <input
                  type="range"
                  data-testid={`blend-weight-${index}`}
                  aria-label={TEXT.weight(index + 1)}
                  className="h-6 w-full"
                  min={0}
                  max={1}
                  step={0.05}
                  value={weight}
                  onChange={(event) => change(index, { weight: Number(event.target.value) })}
                />
                <span data-testid={`blend-share-${index}`} className="text-right text-sm text-muted tabular-nums">
                  {Math.round((shares[index] ?? 0) * 100)} %
                </span>
              </>
            )}
          </li>
        ))}
      </ul>
      <div>
        <Button data-testid="blend-add" onClick={() => edit([...parts, { text: "", weight: 1 }])}>
          <Icon name="plus" size={16} />
          {TEXT.add}
        </Button>
      </div>
      <p role="alert" className="text-sm text-muted empty:hidden">
        {tooLong && TEXT.tooLong(LONGEST)}
      </p>
    </Fold>
  );
}

interface Blend {
  parts: readonly Part[];
  /** Show parts at once and commit them; where they are typed, after a pause. */
  edit: (parts: readonly Part[], wait?: boolean) => void;
  tooLong: boolean;
}

/** The parts as they are typed: an empty one has a row here and no place in the prompt. */
function useBlend(prompt: string, onCommit: (prompt: string) => void): Blend {
  const [parts, setParts] = useState<readonly Part[]>(() => parseBlend(prompt));
  const [known, setKnown] = useState(prompt);
  const [typed, setTyped] = useState<string | null>(null); // waits for a pause
  if (prompt !== known) {
    setKnown(prompt); // chosen elsewhere: what waits is not wanted any more
    setParts(parseBlend(prompt));
    setTyped(null);
  }
  const commit = (text: string): void => {
    setTyped(null);
    setKnown(text);
    onCommit(text);
  };
  const committing = useRef(commit);
  useEffect(() => {
    committing.current = commit;
  });
  useEffect(() => {
    if (typed === null) return;
    const timer = window.setTimeout(() => committing.current(typed), PAUSE);
    return () => window.clearTimeout(timer);
  }, [typed]);
  const edit = (next: readonly Part[], wait = false): void => {
    setParts(next);
    const text = writeBlend(next);
    if (text.length > LONGEST) setTyped(null);
    else if (wait) setTyped(text);
    else commit(text);
  };
  return { parts, edit, tooLong: writeBlend(parts).length > LONGEST };
}
