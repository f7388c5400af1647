import { useEffect, useState, useSyncExternalStore } from "react";

import { STRINGS } from "@/strings";
import type { KeptList } from "@/style/kept-list";
import type { StyleStore } from "@/style/style-store";
import { Button, Fold, INPUT } from "@/ui/controls";
import { Icon } from "@/ui/icons";

import { LONGEST_LEG, type Key, type Player, type Playing, isFar, lengthOf, putKey } from "./timeline";

const TEXT = STRINGS.timeline;
const GAP = 4; // seconds after the last key, where a new one goes

interface TimelinePanelProps {
  store: StyleStore;
  player: Player;
  timeline: KeptList<Key>;
}

/** Prompts at times, and a play head that travels between them. */
export function TimelinePanel({ store, player, timeline }: TimelinePanelProps) {
  const keys = useSyncExternalStore(timeline.subscribe, timeline.get);
  const { playing, at, loop } = usePlaying(player);
  const length = lengthOf(keys);
  const far = isFar(keys);
  const add = (): void =>
    timeline.set(putKey(keys, { at: keys.length === 0 ? 0 : length + GAP, prompt: store.values().prompt }));
  return (
    <Fold label={TEXT.title} testId="timeline">
      <p className="text-sm text-muted">{keys.length < 2 ? TEXT.few : far ? TEXT.far(LONGEST_LEG) : TEXT.hint}</p>
      {keys.length > 1 && (
        <div className="flex items-center gap-2">
          <Button
            data-testid="timeline-play"
            aria-label={playing ? TEXT.stop : TEXT.play}
            title={playing ? TEXT.stop : TEXT.play}
            disabled={far}
            onClick={() => (playing ? player.stop() : player.play(keys))}
          >
            <Icon name={playing ? "stop" : "play"} />
          </Button>
          <Track keys={keys} at={Math.min(at, length)} onSeek={(time) => player.seek(keys, time)} />
          <Button
            data-testid="timeline-loop"
            aria-label={TEXT.loop}
            title={TEXT.loop}
            pressed={loop}
            onClick={() => player.setLoop(!loop)}
          >
            <Icon name="loop" />
          </Button>
        </div>
      )}
      <KeyList keys={keys} disabled={playing} onChange={(next) => timeline.set(next)} />
      <div>
        <Button data-testid="timeline-add" disabled={playing} onClick={add}>
          <Icon name="plus" size={16} />
          {TEXT.add}
        </Button>
      </div>
    </Fold>
  );
}

interface TrackProps {
  keys: readonly Key[];
  at: number;
  onSeek: (time: number) => void;
}

/** The way with its keys as marks, and the head on it. */
function Track({ keys, at, onSeek }: TrackProps) {
  const length = lengthOf(keys);
  return (
    <div className="relative grow pt-2">
      {keys.map((key) => (
        <span
          key={key.at}
          aria-hidden="true"
          title={key.prompt}
          style={{ left: `calc(0.5rem + ${key.at / length} * (100% - 1rem))` }}
          className="absolute top-0 size-2 -translate-x-1/2 rotate-45 bg-accent"
        />
      ))}
      <input
        type="range"
        data-testid="timeline-at"
        aria-label={TEXT.position}
        className="h-6 w-full"
        min={0}
        max={length}
        step={0.1}
        value={at}
        onChange={(event) => onSeek(Number(event.target.value))}
      />
      <p className="text-center text-xs text-muted tabular-nums">
        {at.toFixed(1)} / {length} s
      </p>
    </div>
  );
}

interface KeyListProps {
  keys: readonly Key[];
  disabled: boolean;
  onChange: (keys: readonly Key[]) => void;
}

function KeyList({ keys, disabled, onChange }: KeyListProps) {
  const change = (old: Key, key: Key): void => onChange(putKey(keys.filter((one) => one !== old), key));
  if (keys.length === 0) return null;
  return (
    <ol className="grid gap-2">
      {keys.map((key, index) => (
        // by its place, not by its time: a row that is made anew would lose the focus
        <li key={index} className="grid grid-cols-[4.5rem_minmax(0,1fr)_auto] gap-1.5">
          <TimeInput
            index={index}
            value={key.at}
            disabled={disabled}
            onChange={(at) => change(key, { ...key, at })}
          />
          <input
            data-testid={`key-prompt-${index}`}
            aria-label={TEXT.prompt(index + 1)}
            className={INPUT}
            dir="auto"
            maxLength={500}
            disabled={disabled}
            value={key.prompt}
            onChange={(event) => change(key, { ...key, prompt: event.target.value })}
          />
          <Button
            look="quiet"
            aria-label={TEXT.remove(index + 1)}
            title={TEXT.remove(index + 1)}
            disabled={disabled}
            onClick={() => onChange(keys.filter((one) => one !== key))}
          >
            <Icon name="cross" size={16} />
          </Button>
        </li>
      ))}
    </ol>
  );
}

interface TimeInputProps {
  index: number;
  value: number;
  disabled: boolean;
  onChange: (at: number) => void;
}

/** The second of a key: it counts once it is typed, since keys change places by it. */
function TimeInput({ index, value, disabled, onChange }: TimeInputProps) {
  const [draft, setDraft] = useState(String(value));
  const [shown, setShown] = useState(value);
  if (value !== shown) {
    setShown(value); // another key has come to this place
    setDraft(String(value));
  }
  const finish = (): void => {
    const at = Number.parseFloat(draft);
    setDraft(String(value));
    if (Number.isFinite(at) && at !== value) onChange(at);
  };
  return (
    <input
      type="number"
      data-testid={`key-at-${index}`}
      aria-label={TEXT.at(index + 1)}
      className={`${INPUT} tabular-nums`}
      min={0}
      step={0.5}
      disabled={disabled}
      value={draft}
      onChange={(event) => setDraft(event.target.value)}
      onBlur={finish}
      onKeyDown={(event) => {
        if (event.key === "Enter") finish();
      }}
    />
  );
}

/** Where the player stands, ten times a second while it plays. */
function usePlaying(player: Player): Playing {
  const [state, setState] = useState(() => player.get());
  useEffect(() => {
    const look = (): void => setState(player.get());
    const leave = player.subscribe(look);
    const timer = state.playing ? window.setInterval(look, 100) : 0;
    return () => {
      leave();
      window.clearInterval(timer);
    };
  }, [player, state.playing]);
  return state;
}
