import { useEffect, useRef, useState, useSyncExternalStore } from "react";

import { INPUT } from "@/ui/controls";

import { STRINGS } from "@/strings";

import { HistoryList } from "./history-list";
import { newHistory, remember } from "./prompt-history";

const history = newHistory();
const PAUSE = 400; // ms without a key: people who do not press Enter see it all the same

interface PromptBoxProps {
  prompt: string;
  pending: boolean;
  hint: string | null;
  /** What went wrong with the last change. */
  problem: string | null;
  /** What an empty box means, where it is known. */
  empty: string | null;
  /** Somebody types; it is committed a little later. */
  onType: () => void;
  onCommit: (prompt: string) => void;
}

export function PromptBox({ prompt, pending, hint, problem, empty, onType, onCommit }: PromptBoxProps) {
  const [draft, setDraft] = useState(prompt);
  const [shown, setShown] = useState(prompt);
  const timer = useRef(0);
  const before = useSyncExternalStore(history.subscribe, history.get);
  if (prompt !== shown) {
    setShown(prompt); // a preset was chosen
    setDraft(prompt);
  }
  const commit = (text: string): void => {
    window.clearTimeout(timer.current);
    if (text !== prompt) onCommit(text);
  };
  const finish = (text: string): void => {
    commit(text);
    history.set(remember(history.get(), text)); // not what a pause while typing committed
  };
  useEffect(() => () => window.clearTimeout(timer.current), []);
  return (
    <div>
      <label htmlFor="prompt" className="mb-1.5 flex items-center justify-between font-medium">
        {STRINGS.prompt}
        <span
          aria-hidden="true"
          className={`size-2 rounded-full bg-accent transition-opacity ${pending ? "animate-pulse opacity-100" : "opacity-0"}`}
        />
      </label>
      <textarea
        id="prompt"
        data-testid="prompt"
        dir="auto"
        rows={2}
        maxLength={500}
        value={draft}
        placeholder={STRINGS.promptHint}
        aria-busy={pending}
        aria-describedby="prompt-hint"
        className={`${INPUT} field-sizing-content max-h-44 min-h-17 resize-none text-lg leading-snug`}
        onChange={(event) => {
          const text = event.target.value;
          setDraft(text);
          onType();
          window.clearTimeout(timer.current);
          timer.current = window.setTimeout(() => commit(text), PAUSE);
        }}
        onBlur={() => finish(draft)}
        onKeyDown={(event) => {
          if (event.key === "Enter" && !event.shiftKey) {
            event.preventDefault();
            finish(draft);
          }
        }}
      />
      <p
        id="prompt-hint"
        data-testid="prompt-hint"
        role="status"
        className="mt-1 text-sm text-muted empty:hidden"
      >
        {problem ?? (draft.trim() === "" ? empty : draft === prompt && hint)}
      </p>
      <HistoryList
        prompts={before}
        current={prompt.trim()}
        onPick={finish}
        onRemove={(text) => history.set(history.get().filter((old) => old !== text))}
      />
    </div>
  );
}
