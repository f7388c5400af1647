import { useEffect, useSyncExternalStore } from "react";

import { STRINGS } from "@/strings";
import { Button, Fold } from "@/ui/controls";

import type { Binding, Midi, Target } from "./midi";

const TEXT = STRINGS.midi;

/** Knobs and pads: press Learn, move one. */
export function MidiPanel({ midi, targets }: { midi: Midi; targets: readonly Target[] }) {
  const { status, inputs, learning } = useSyncExternalStore(midi.subscribe, midi.get);
  const bindings = useSyncExternalStore(midi.bindings.subscribe, midi.bindings.get);
  useEffect(() => void startIfGranted(midi), [midi]);
  return (
    <Fold label={TEXT.title} testId="midi">
      <p role="status" data-testid="midi-status" className="text-sm text-muted">
        {status === "on" ? TEXT.inputs(inputs) : TEXT.status[status]}
      </p>
      {(status === "off" || status === "refused") && (
        <div>
          <Button data-testid="midi-start" onClick={() => void midi.start()}>
            {TEXT.start}
          </Button>
        </div>
      )}
      {status === "on" && (
        <ul className="grid gap-x-6 gap-y-1 text-sm sm:grid-cols-2">
          {targets.map(({ id, label }) => {
            const binding = bindings.find(({ target }) => target === id);
            const waits = learning === id;
            return (
              <li key={id} className="flex items-center gap-2">
                <span className="grow">{label}</span>
                <span data-testid={`midi-${id}`} className="text-muted tabular-nums">
                  {waits ? TEXT.move : binding && nameOf(binding)}
                </span>
                <Button
                  look="quiet"
                  data-testid={`midi-learn-${id}`}
                  aria-label={TEXT.learnOne(label)}
                  pressed={waits}
                  onClick={() => midi.learn(waits ? null : id)}
                >
                  {TEXT.learn}
                </Button>
                {binding && (
                  <Button look="quiet" aria-label={TEXT.forgetOne(label)} onClick={() => midi.forget(id)}>
                    {TEXT.forget}
                  </Button>
                )}
              </li>
            );
          })}
        </ul>
      )}
    </Fold>
  );
}

const nameOf = ({ kind, channel, number }: Binding): string => TEXT[kind](number, channel);

/** Where something is bound and the browser was asked before, MIDI is there without a click. */
async function startIfGranted(midi: Midi): Promise<void> {
  if (midi.bindings.get().length === 0) return;
  try {
    const permission = await navigator.permissions.query({ name: "midi" });
    if (permission.state === "granted") await midi.start();
  } catch {
    // a browser that cannot say: the button is there
  }
}
