import { useSyncExternalStore } from "react";

import { STRINGS } from "@/strings";
import { Button, Field, Fold, INPUT } from "@/ui/controls";
import { Icon } from "@/ui/icons";

import { OUTSIDE, type RegionStore, WHERE } from "./region";
import type { FinderState } from "./use-finder";

const TEXT = STRINGS.region;

interface RegionPanelProps {
  store: RegionStore;
  state: FinderState;
}

/** Where the style applies: everywhere, on the person, around them, or where somebody paints. */
export function RegionPanel({ store, state }: RegionPanelProps) {
  const { where, outside, tool } = useSyncExternalStore(store.subscribe, store.get);
  return (
    <Fold label={TEXT.title} testId="region-panel">
      <Field label={TEXT.where}>
        {(id) => (
          <select
            id={id}
            data-testid="region-where"
            className={INPUT}
            value={where}
            onChange={({ target: { value } }) => store.change({ where: WHERE.find((name) => name === value) ?? where })}
          >
            {WHERE.map((name) => (
              <option key={name} value={name}>
                {TEXT.places[name]}
              </option>
            ))}
          </select>
        )}
      </Field>
      <Button
        data-testid="brush"
        pressed={tool !== "off"}
        title={TEXT.paintHint}
        onClick={() => store.change({ tool: tool === "off" ? "paint" : "off" })}
      >
        <Icon name="brush" />
        {TEXT.brush}
      </Button>
      <Field label={TEXT.outside}>
        {(id) => (
          <select
            id={id}
            data-testid="region-outside"
            className={INPUT}
            value={outside}
            onChange={({ target: { value } }) =>
              store.change({ outside: OUTSIDE.find((name) => name === value) ?? outside })
            }
          >
            {OUTSIDE.map((name) => (
              <option key={name} value={name}>
                {TEXT.behind[name]}
              </option>
            ))}
          </select>
        )}
      </Field>
      <p role="status" data-testid="region-state" className="text-sm text-muted">
        {state === "on" || (state === "off" && outside !== "camera") ? TEXT.seen[outside] : TEXT.state[state]}
      </p>
    </Fold>
  );
}
