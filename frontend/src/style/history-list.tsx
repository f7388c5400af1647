import { STRINGS } from "@/strings";

interface HistoryListProps {
  prompts: readonly string[];
  current: string;
  onPick: (prompt: string) => void;
  onRemove: (prompt: string) => void;
}

/** The prompts of before, newest first; one click takes one again. */
export function HistoryList({ prompts, current, onPick, onRemove }: HistoryListProps) {
  const others = prompts.filter((prompt) => prompt !== current);
  if (others.length === 0) return null;
  return (
    <ul
      aria-label={STRINGS.history}
      data-testid="history"
      className="mt-2 flex max-h-18 flex-wrap gap-1.5 overflow-y-auto"
    >
      {others.map((prompt) => (
        <Chip
          key={prompt}
          text={prompt}
          removeLabel={STRINGS.forget(prompt)}
          onPick={() => onPick(prompt)}
          onRemove={() => onRemove(prompt)}
        />
      ))}
    </ul>
  );
}

interface ChipProps {
  text: string;
  removeLabel: string;
  onPick: () => void;
  onRemove: () => void;
}

/** A word to click, with a cross that takes it away. */
export function Chip({ text, removeLabel, onPick, onRemove }: ChipProps) {
  return (
    <li className="flex max-w-full items-center rounded-full border border-line text-xs text-muted hover:border-accent">
      <button type="button" dir="auto" title={text} onClick={onPick} className="min-h-7 max-w-44 truncate pl-2.5 hover:text-ink">
        {text}
      </button>
      <button
        type="button"
        aria-label={removeLabel}
        title={removeLabel}
        onClick={onRemove}
        className="grid size-7 shrink-0 place-items-center rounded-full hover:text-ink"
      >
        <span aria-hidden="true">×</span>
      </button>
    </li>
  );
}
