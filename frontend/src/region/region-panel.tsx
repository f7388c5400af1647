import { STRINGS } from "@/strings";
import { Field, Fold, INPUT } from "@/ui/controls";

import { CUTS, type Cut } from "./cuts";
import type { CutoutState } from "./cutout";

const TEXT = STRINGS.cutout;

interface CutoutPanelProps {
  cut: Cut | null;
  state: CutoutState;
  onChange: (cut: Cut | null) => void;
}

/** Where the style applies: everywhere, on the person, or around them. */
export function CutoutPanel({ cut, state, onChange }: CutoutPanelProps) {
  return (
    <Fold label={TEXT.title} testId="cutout-panel">
      <Field label={TEXT.where}>
        {(id) => (
          <select
            id={id}
            data-testid="cutout-choice"
            className={INPUT}
            value={cut ?? ""}
            onChange={({ target: { value } }) => onChange(CUTS.find((name) => name === value) ?? null)}
          >
            <option value="">{TEXT.everywhere}</option>
            {CUTS.map((name) => (
              <option key={name} value={name}>
                {TEXT.cuts[name]}
              </option>
            ))}
          </select>
        )}
      </Field>
      <p role="status" data-testid="cutout-state" className="text-sm text-muted">
        {cut === null ? TEXT.hint : TEXT.state[state]}
      </p>
    </Fold>
  );
}
