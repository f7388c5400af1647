import { useSyncExternalStore } from "react";

import type { Info, Style } from "@/api/client";
import { STRINGS } from "@/strings";
import { Button, Checkbox, Choice, Field, INPUT, SUMMARY, Slider } from "@/ui/controls";
import { CopyButton } from "@/ui/copy-button";
import { Icon } from "@/ui/icons";

import { LooksPanel } from "./looks-panel";
import { Presets } from "./presets";
import { PromptBox } from "./prompt-box";
import { ReferenceButton } from "./reference-button";
import { SeedInput } from "./seed-input";
import { styleLink } from "./style-link";
import type { StyleStore } from "./style-store";

const SEEDS = 2 ** 31;
const SIMILAR = 0.98; // cosine similarity, once it is switched on; the default of StreamDiffusion

export function StylePanel({ store, info }: { store: StyleStore; info: Info | null }) {
  const { style, pending, frame, hint, problem, defaults, noises } = useSyncExternalStore(store.subscribe, store.get);
  const back = (key: keyof Style): (() => void) | undefined =>
    style[key] === defaults[key] ? undefined : () => store.resetOne(key);
  const likeness = defaults.similarity_filter || SIMILAR;
  return (
    <section aria-label={STRINGS.prompt} className="flex flex-col gap-5">
      <PromptBox
        prompt={style.prompt}
        pending={pending}
        hint={hint}
        problem={problem && STRINGS.styleRefused(problem)}
        empty={info && info.presets.length > 0 ? STRINGS.promptEmpty : null}
        onType={store.touch}
        onCommit={(prompt) => store.change({ prompt })}
      />
      {info?.reference && <ReferenceButton onRead={(prompt) => store.change({ prompt })} />}
      {info && (
        <Presets presets={info.presets} prompt={style.prompt} onPick={(p) => store.change({ prompt: p })} />
      )}
      <div className="grid gap-4">
        <Slider
          label={STRINGS.strength}
          hint={STRINGS.strengthHint}
          testId="strength"
          value={style.strength}
          onReset={back("strength")}
          min={0}
          max={1}
          step={0.02}
          onChange={(strength) => store.change({ strength })}
        />
        <Slider
          label={STRINGS.guidance}
          hint={STRINGS.guidanceHint}
          testId="guidance"
          value={style.guidance_scale}
          onReset={back("guidance_scale")}
          min={1}
          max={3}
          step={0.1}
          onChange={(guidance_scale) => store.change({ guidance_scale })}
        />
        <Slider
          label={STRINGS.steps}
          hint={STRINGS.stepsHint}
          testId="steps"
          value={style.steps}
          onReset={back("steps")}
          min={1}
          max={8}
          step={1}
          onChange={(steps) => store.change({ steps })}
        />
      </div>
      <Field label={STRINGS.negative} testId="negative" onReset={back("negative_prompt")}>
        {(id) => (
          <input
            id={id}
            data-testid="negative"
            dir="auto"
            className={INPUT}
            maxLength={500}
            value={style.negative_prompt}
            placeholder={STRINGS.negativeHint}
            onChange={(event) => store.change({ negative_prompt: event.target.value })}
          />
        )}
      </Field>
      <div className="flex items-end gap-2">
        <div className="grow">
          <Field label={STRINGS.seed} testId="seed" onReset={back("seed")}>
            {(id) => (
              <SeedInput
                id={id}
                testId="seed"
                value={style.seed}
                onChange={(seed) => store.change({ seed })}
              />
            )}
          </Field>
        </div>
        <Button
          aria-label={STRINGS.newSeed}
          title={STRINGS.newSeed}
          onClick={() => store.change({ seed: Math.floor(Math.random() * SEEDS) })}
        >
          <Icon name="dice" />
        </Button>
        <Button look="quiet" data-testid="reset" onClick={() => store.reset()}>
          {STRINGS.reset}
        </Button>
      </div>
      <details className="group">
        <summary className={SUMMARY}>{STRINGS.more}</summary>
        <div className="mt-4 grid gap-4">
          <Slider
            label={STRINGS.travel}
            hint={STRINGS.travelHint}
            testId="travel"
            value={style.travel}
            onReset={back("travel")}
            min={0}
            max={10}
            step={0.5}
            onChange={(travel) => store.change({ travel })}
          />
          <Slider
            label={STRINGS.seedBlend}
            hint={STRINGS.seedBlendHint}
            testId="seed-blend"
            value={style.seed_blend}
            onReset={back("seed_blend")}
            min={0}
            max={1}
            step={0.02}
            onChange={(seed_blend) => store.change({ seed_blend })}
          />
          {style.seed_blend > 0 && (
            <Field label={STRINGS.blendSeed} testId="blend-seed" onReset={back("blend_seed")}>
              {(id) => (
                <SeedInput
                  id={id}
                  testId="blend-seed"
                  value={style.blend_seed}
                  onChange={(blend_seed) => store.change({ blend_seed })}
                />
              )}
            </Field>
          )}
          <Choice
            label={STRINGS.guidanceKind}
            names={STRINGS.guidanceKinds}
            value={style.guidance}
            testId="guidance-kind"
            onReset={back("guidance")}
            onChange={(guidance) => store.change({ guidance })}
          />
          <Slider
            label={STRINGS.deflicker}
            hint={STRINGS.deflickerHint}
            testId="deflicker"
            value={style.deflicker}
            onReset={back("deflicker")}
            min={0}
            max={1}
            step={0.05}
            onChange={(deflicker) => store.change({ deflicker })}
          />
          {style.deflicker > 0 && (
            <Checkbox
              label={STRINGS.search}
              hint={STRINGS.searchHint}
              testId="deflicker-search"
              checked={style.deflicker_search}
              onReset={back("deflicker_search")}
              onChange={(deflicker_search) => store.change({ deflicker_search })}
            />
          )}
          <Slider
            label={STRINGS.motionNoise}
            hint={STRINGS.motionNoiseHint}
            testId="motion-noise"
            value={style.motion_noise}
            onReset={back("motion_noise")}
            min={0}
            max={1}
            step={0.05}
            onChange={(motion_noise) => store.change({ motion_noise })}
          />
          <Choice
            label={STRINGS.noise}
            names={STRINGS.noises}
            of={noises}
            value={style.noise}
            testId="noise"
            onReset={back("noise")}
            onChange={(noise) => store.change({ noise })}
          />
          {style.noise === "warped" && (
            <Slider
              label={STRINGS.noiseWarp}
              hint={STRINGS.noiseWarpHint}
              testId="noise-warp"
              value={style.noise_warp}
              onReset={back("noise_warp")}
              min={0}
              max={1}
              step={0.05}
              onChange={(noise_warp) => store.change({ noise_warp })}
            />
          )}
          <Checkbox
            label={STRINGS.similar}
            hint={STRINGS.similarHint}
            testId="similarity-filter"
            checked={style.similarity_filter > 0}
            onReset={back("similarity_filter")}
            onChange={(on) => store.change({ similarity_filter: on ? likeness : 0 })}
          />
          {style.similarity_filter > 0 && (
            <Slider
              label={STRINGS.similarAt}
              hint={STRINGS.similarAtHint}
              testId="similarity"
              value={style.similarity_filter}
              onReset={
                style.similarity_filter === likeness
                  ? undefined
                  : () => store.change({ similarity_filter: likeness })
              }
              min={0.9}
              max={1}
              step={0.005}
              onChange={(similarity_filter) => store.change({ similarity_filter })}
            />
          )}
        </div>
      </details>
      <LooksPanel style={style} onPick={(look) => store.change(look)} />
      <div className="flex flex-wrap gap-2">
        <CopyButton
          label={STRINGS.copyStyle}
          testId="copy-style"
          text={() => styleLink(location.origin + location.pathname, style)}
        />
      </div>
      <span data-testid="applied-frame" className="sr-only">
        {frame ?? ""}
      </span>
    </section>
  );
}
