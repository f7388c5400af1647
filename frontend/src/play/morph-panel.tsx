import { useSyncExternalStore } from "react";

import type { Style } from "@/api/client";
import { STRINGS } from "@/strings";
import { savedLooks } from "@/style/looks";
import type { StyleStore } from "@/style/style-store";
import { Button, Fold, INPUT, Slider } from "@/ui/controls";

import type { Morph } from "./morph";

const TEXT = STRINGS.morph;

/** Two complete looks and one slider between them. */
export function MorphPanel({ store, morph }: { store: StyleStore; morph: Morph }) {
  const { a, b, at } = useSyncExternalStore(morph.subscribe, morph.get);
  return (
    <Fold label={TEXT.title} testId="morph">
      <div className="grid grid-cols-2 gap-3">
        <End name="a" look={a} store={store} morph={morph} />
        <End name="b" look={b} store={store} morph={morph} />
      </div>
      {a && b && (
        <Slider
          label={TEXT.slider}
          hint={TEXT.hint}
          testId="morph-at"
          value={at}
          min={0}
          max={1}
          step={0.02}
          onChange={(place) => morph.move(place)}
        />
      )}
    </Fold>
  );
}

interface EndProps {
  name: "a" | "b";
  look: Style | null;
  store: StyleStore;
  morph: Morph;
}

function End({ name, look, store, morph }: EndProps) {
  const saved = useSyncExternalStore(savedLooks.subscribe, savedLooks.get);
  const letter = name.toUpperCase();
  return (
    <div className="flex min-w-0 flex-col gap-1.5 text-sm">
      <Button data-testid={`morph-${name}`} className="!px-2" onClick={() => morph.put(name, store.values())}>
        {TEXT.take(letter)}
      </Button>
      {saved.length > 0 && (
        <select
          aria-label={TEXT.saved(letter)}
          className={INPUT}
          value=""
          onChange={(event) => {
            const chosen = saved.find((one) => one.name === event.target.value);
            if (!chosen) return;
            store.change(chosen.style);
            morph.put(name, chosen.style);
          }}
        >
          <option value="">{TEXT.choose}</option>
          {saved.map((one) => (
            <option key={one.name}>{one.name}</option>
          ))}
        </select>
      )}
      <p data-testid={`morph-${name}-is`} className="truncate text-muted" title={look?.prompt}>
        {look ? look.prompt || TEXT.empty : TEXT.none}
      </p>
    </div>
  );
}
