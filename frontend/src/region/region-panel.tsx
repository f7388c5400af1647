import { useSyncExternalStore } from "react";

import { STRINGS } from "@/strings";
import { Button, Choice, Fold } from "@/ui/controls";
import { Icon } from "@/ui/icons";

import type { RegionStore } from "./region";
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
      <Choice
        label={TEXT.where}
        names={TEXT.places}
        value={where}
        testId="region-where"
        onChange={(chosen) => store.change({ where: chosen })}
      />
      <Button data-testid="brush" pressed={tool !== "off"} title={TEXT.paintHint} onClick={store.toggleBrush}>
        <Icon name="brush" />
        {TEXT.brush}
      </Button>
      <Choice
        label={TEXT.outside}
        names={TEXT.behind}
        value={outside}
        testId="region-outside"
        onChange={(chosen) => store.change({ outside: chosen })}
      />
      <p role="status" data-testid="region-state" className="text-sm text-muted">
        {state === "on" || (state === "off" && outside !== "camera") ? TEXT.seen[outside] : TEXT.state[state]}
      </p>
    </Fold>
  );
}
