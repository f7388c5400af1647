import { type ReactNode, useId, useSyncExternalStore } from "react";

import { STRINGS } from "@/strings";
import { Icon, type IconName } from "@/ui/icons";

import type { Brush } from "./brush";
import type { RegionStore } from "./region";

const TEXT = STRINGS.region;

/** Over the picture while somebody paints: what the brush does, and how large it is. */
export function BrushBar({ store, brush }: { store: RegionStore; brush: Brush }) {
  const { tool, radius, painted } = useSyncExternalStore(store.subscribe, store.get);
  const size = useId();
  const clear = (): void => {
    brush.clear();
    store.change({ painted: false });
  };
  const invert = (): void => {
    brush.invert();
    brush.keep();
    store.change({ painted: true });
  };
  return (
    <div
      role="group"
      aria-label={TEXT.brush}
      className="absolute inset-x-0 bottom-3 z-20 mx-auto flex w-fit max-w-[95%] flex-wrap items-center justify-center gap-1 rounded-2xl bg-black/75 p-1.5 text-white backdrop-blur"
    >
      <Item name="paint" icon="brush" hint={TEXT.paintHint} pressed={tool === "paint"} onClick={() => store.change({ tool: "paint" })}>
        {TEXT.paint}
      </Item>
      <Item name="erase" icon="eraser" hint={TEXT.eraseHint} pressed={tool === "erase"} onClick={() => store.change({ tool: "erase" })}>
        {TEXT.erase}
      </Item>
      <label htmlFor={size} className="sr-only">
        {TEXT.size}
      </label>
      <input
        id={size}
        type="range"
        data-testid="brush-size"
        title={TEXT.sizeHint}
        min={4}
        max={60}
        value={Math.round(radius * 200)}
        onChange={(event) => store.change({ radius: Number(event.target.value) / 200 })}
        className="h-9 w-24 accent-white"
      />
      <Item name="invert" icon="invert" hint={TEXT.invertHint} onClick={invert}>
        {TEXT.invert}
      </Item>
      <Item name="clear" icon="cross" hint={TEXT.clearHint} disabled={!painted} onClick={clear}>
        {TEXT.clear}
      </Item>
      <Item name="done" icon="done" hint={TEXT.doneHint} onClick={() => store.change({ tool: "off" })}>
        {TEXT.done}
      </Item>
    </div>
  );
}

interface ItemProps {
  name: string;
  icon: IconName;
  hint: string;
  pressed?: boolean;
  disabled?: boolean;
  onClick: () => void;
  children: ReactNode;
}

function Item({ name, icon, hint, pressed, disabled, onClick, children }: ItemProps) {
  return (
    <button
      type="button"
      data-testid={`brush-${name}`}
      title={hint}
      disabled={disabled}
      aria-pressed={pressed}
      onClick={onClick}
      className={`inline-flex min-h-9 items-center gap-1.5 rounded-xl px-2 text-sm transition hover:bg-white/20 disabled:opacity-40 ${pressed ? "bg-white text-slate-900 hover:bg-white" : ""}`}
    >
      <Icon name={icon} />
      <span className="max-sm:sr-only">{children}</span>
    </button>
  );
}
