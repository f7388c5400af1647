import { useState } from "react";

import { INPUT } from "@/ui/controls";

interface SeedInputProps {
  id: string;
  testId: string;
  value: number;
  onChange: (seed: number) => void;
}

/** A seed to type: while the field is empty or holds none, the last one counts. */
export function SeedInput({ id, testId, value, onChange }: SeedInputProps) {
  const [draft, setDraft] = useState(String(value));
  const [shown, setShown] = useState(value);
  if (value !== shown) {
    setShown(value); // chosen elsewhere
    if (Number(draft) !== value) setDraft(String(value));
  }
  return (
    <input
      id={id}
      data-testid={testId}
      type="number"
      min={0}
      max={2 ** 32 - 1}
      className={`${INPUT} tabular-nums`}
      value={draft}
      onChange={(event) => {
        setDraft(event.target.value);
        const seed = event.target.valueAsNumber;
        if (Number.isInteger(seed) && seed >= 0 && seed < 2 ** 32) onChange(seed);
      }}
      onBlur={() => setDraft(String(value))}
    />
  );
}
