import { useState } from "react";

import type { Info } from "@/api/client";
import { STRINGS } from "@/strings";
import { Button } from "@/ui/controls";

type Preset = Info["presets"][number];

const FEW = 12; // whole rows of two, three, four or six, as many as there may be

interface PresetsProps {
  presets: readonly Preset[];
  prompt: string;
  onPick: (prompt: string) => void;
}

/** The styles that the model knows by name: some rows at first, all of them on request. */
export function Presets({ presets, prompt, onPick }: PresetsProps) {
  const [all, setAll] = useState(false);
  const pictures = presets.some(({ thumbnail }) => thumbnail);
  const more = presets.length > FEW;
  const shown = all || !more ? presets : few(presets, prompt);
  return (
    <div className="@container flex flex-col gap-2">
      <div
        role="group"
        aria-label={STRINGS.presets}
        className={pictures ? "grid grid-cols-2 gap-2 @[17rem]:grid-cols-3 @[22.5rem]:grid-cols-4 @[34rem]:grid-cols-6" : "flex flex-wrap gap-2"}
      >
        {shown.map((preset) => (
          <PresetButton
            key={preset.name}
            preset={preset}
            picture={pictures}
            chosen={preset.prompt === prompt}
            onPick={onPick}
          />
        ))}
      </div>
      {more && (
        <Button
          look="quiet"
          data-testid="all-presets"
          aria-expanded={all}
          className="!min-h-8 self-center"
          onClick={() => setAll(!all)}
        >
          {all ? STRINGS.fewPresets : STRINGS.allPresets(presets.length)}
        </Button>
      )}
    </div>
  );
}

/** The first ones; the chosen one is among them, in place of the last if need be. */
function few(presets: readonly Preset[], prompt: string): readonly Preset[] {
  const first = presets.slice(0, FEW);
  const chosen = presets.slice(FEW).find((preset) => preset.prompt === prompt);
  return chosen ? [...first.slice(0, -1), chosen] : first;
}

interface PresetButtonProps {
  preset: Preset;
  /** Others have a picture. */
  picture: boolean;
  chosen: boolean;
  onPick: (prompt: string) => void;
}

function PresetButton({ preset, picture, chosen, onPick }: PresetButtonProps) {
  const { name, prompt, examples, thumbnail } = preset;
  return (
    <button
      type="button"
      data-testid={`preset-${name}`}
      title={[prompt, ...examples.slice(0, 3)].join(", ")}
      aria-pressed={chosen}
      onClick={() => onPick(chosen ? "" : prompt)}
      className={`border transition ${
        picture ? "flex min-w-0 flex-col rounded-xl p-1 text-[0.6875rem] leading-tight tracking-tight" : "min-h-9 rounded-full px-3.5 text-sm"
      } ${
        chosen ? "border-accent bg-accent text-on-accent" : "border-line bg-raised hover:border-accent"
      }`}
    >
      {thumbnail && <img src={thumbnail} alt="" className="mb-1 aspect-square w-full rounded-lg" />}
      <span className={picture ? "grid min-h-5 w-full grow place-items-center" : ""}>{name}</span>
    </button>
  );
}
