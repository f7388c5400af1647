import { Suspense, lazy, useCallback, useEffect, useState, useSyncExternalStore } from "react";

import { type Info, Refused, forgetToken, getInfo, redeemLink } from "@/api/client";
import { Live, type LiveState, type Source } from "@/call/live";
import type { Size } from "@/call/size";
import type { Cut } from "@/cutout/cuts";
import type { CutoutState } from "@/cutout/cutout";
import { CutoutPanel } from "@/cutout/cutout-panel";
import { FloatButton } from "@/float/float-button";
import { FloatPanel } from "@/float/float-panel";
import { Midi } from "@/midi/midi";
import { MidiPanel } from "@/midi/midi-panel";
import { CaptureButtons } from "@/output/capture-buttons";
import { ObsLink } from "@/output/obs-link";
import { OutputsPanel } from "@/output/outputs-panel";
import { BlendPanel } from "@/play/blend-panel";
import { Morph } from "@/play/morph";
import { MorphPanel } from "@/play/morph-panel";
import { Player, newTimeline } from "@/play/timeline";
import { TimelinePanel } from "@/play/timeline-panel";
import { StatusBadge } from "@/status-badge";
import { openCamera } from "@/source/open-source";
import { SeekBar } from "@/source/seek-bar";
import { SizeChoice } from "@/source/size-choice";
import { SoundChoice } from "@/source/sound-choice";
import { CameraChoice, SourceButtons } from "@/source/source-bar";
import { Stage } from "@/stage/stage";
import { type View, ViewChoice, nextView } from "@/stage/views";
import { StatsBar } from "@/stats/stats-bar";
import { STRINGS } from "@/strings";
import { LinkNotice, takeStyleLink } from "@/style/link-notice";
import { StylePanel } from "@/style/style-panel";
import { StyleStore } from "@/style/style-store";
import { Button } from "@/ui/controls";
import { Icon } from "@/ui/icons";

import { HelpSheet } from "./help-sheet";
import { useKeys } from "./keys";
import { Notice } from "./notice";
import { targetsOf } from "./targets";
import { ThemeButton } from "./theme";

const style = new StyleStore();
const linkProblem = takeStyleLink(style);
const live = new Live(style);
const morph = new Morph(style);
const player = new Player(style);
const timeline = newTimeline();
const targets = targetsOf(style, morph);
const midi = new Midi(targets);
const Cutout = lazy(() => import("@/cutout/cutout")); // and its megabytes, for those who want it
const LATER = 1500; // ms between looks for a server that loads or is away

export function App() {
  const state = useSyncExternalStore(live.subscribe, live.get);
  const { style: values } = useSyncExternalStore(style.subscribe, style.get);
  const [view, setView] = useState<View>("wipe");
  const [mirror, setMirror] = useState(true);
  const [cut, setCut] = useState<Cut | null>(null);
  const [cutState, setCutState] = useState<CutoutState>("loading");
  const { info, look } = useInfo();
  useMap(info, setView, () => setMirror((on) => !on));
  useResume();

  const open = (make: () => Promise<Source>): void => void live.use(make);
  const { source } = state;
  const mirrored = mirror && source?.kind === "camera";
  const shown = state.size ?? info;
  const aspect = shown ? shown.width / shown.height : 1;
  const resize = useCallback((size: Size) => info && live.resize(size, info), [info]);
  return (
    <div className="mx-auto flex min-h-dvh max-w-7xl flex-col gap-4 p-4 sm:p-6">
      <header className="flex items-center gap-1 sm:gap-3">
        <img src="/icon.svg" alt="" className="size-9" />
        <h1 className="text-xl font-semibold tracking-tight">{STRINGS.name}</h1>
        <span className="grow" />
        <StatusBadge phase={state.phase} engine={state.engine} />
        <HelpSheet />
        <ThemeButton />
      </header>
      <LinkNotice store={style} atLoad={linkProblem} />
      <main className="grid grow content-start gap-5 lg:grid-cols-[minmax(0,1fr)_22rem] lg:grid-rows-[auto_1fr]">
        <div className="flex min-w-0 flex-col gap-3">
          <Stage
            cover={
              cut &&
              state.output && (
                <Suspense>
                  <Cutout cut={cut} mirror={mirrored} delay={delayOf(state)} onState={setCutState} />
                </Suspense>
              )
            }
            aspect={aspect}
            input={source?.stream ?? null}
            output={state.output}
            view={view}
            mirror={mirrored}
          >
            {!source && <Welcome onOpen={open} />}
            <Notice
              live={state}
              onHurry={live.hurry}
              onToken={() => {
                look();
                live.authorised();
              }}
            />
          </Stage>
          {source?.video && <SeekBar video={source.video} />}
          {source && (
            <div className="tools flex flex-wrap items-center gap-1.5">
              <SourceButtons onOpen={open} active={source.kind} />
              {source.kind === "camera" && <CameraChoice source={source} onOpen={open} />}
              {info?.size_step && (
                <SizeChoice live={state} step={info.size_step} own={info} onChange={resize} />
              )}
              <SoundChoice live={live} state={state} />
              <span className="basis-full" />
              <CaptureButtons output={state.output} />
              <FloatButton disabled={!state.output}>
                <FloatPanel output={state.output} mirror={mirrored} aspect={aspect} store={style} />
              </FloatButton>
              <ViewChoice view={view} onChange={setView} />
              {source.kind === "camera" && (
                <Button pressed={mirror} title={STRINGS.mirror} aria-label={STRINGS.mirror} onClick={() => setMirror(!mirror)}>
                  <Icon name="mirror" />
                </Button>
              )}
              <Button title={STRINGS.fullscreen} aria-label={STRINGS.fullscreen} onClick={toggleFullScreen}>
                <Icon name="full" />
              </Button>
              <Button
                data-testid="bypass"
                title={STRINGS.bypassHint}
                pressed={values.bypass}
                onClick={() => style.change({ bypass: !values.bypass })}
              >
                {STRINGS.bypass}
              </Button>
              <Button data-testid="stop" title={STRINGS.stop} onClick={hangUp}>
                <Icon name="stop" />
                <span className="sr-only">{STRINGS.stop}</span>
              </Button>
            </div>
          )}
          <StatsBar stats={state.stats} roundTrip={state.roundTrip} />
          {state.phase.state === "live" && state.viewer && <ObsLink viewer={state.viewer} />}
          {state.viewer && <OutputsPanel session={state.viewer.id} outputs={state.outputs} />}
        </div>
        <aside className="card h-fit lg:row-span-2">
          <StylePanel store={style} info={info} />
        </aside>
        <section aria-label={STRINGS.perform} className="card flex h-fit flex-col gap-4">
          <BlendPanel prompt={values.prompt} onCommit={(prompt) => style.change({ prompt })} />
          <TimelinePanel store={style} player={player} timeline={timeline} />
          <MorphPanel store={style} morph={morph} />
          <CutoutPanel cut={cut} state={cutState} onChange={setCut} />
          <MidiPanel midi={midi} targets={targets} />
        </section>
      </main>
    </div>
  );
}

function Welcome({ onOpen }: { onOpen: (open: () => Promise<Source>) => void }) {
  return (
    <div className="welcome absolute inset-0 grid place-items-center p-6 text-center">
      <div className="flex max-w-lg flex-col items-center gap-4">
        <h2 className="text-3xl font-semibold tracking-tight text-balance sm:text-4xl">
          {STRINGS.welcome}
        </h2>
        <p className="text-balance text-white/80">{STRINGS.welcomeText}</p>
        <SourceButtons large onOpen={onOpen} active={null} />
      </div>
    </div>
  );
}

/** Milliseconds from a picture of the camera to its restyled one. */
const delayOf = ({ stats, roundTrip }: LiveState): number => (stats?.age_ms.p50 ?? 0) + (roundTrip ?? 0);

const RESUME = "restyle.resume";

function hangUp(): void {
  sessionStorage.removeItem(RESUME);
  live.stop();
}

/** After a reload the camera that was on comes back by itself. */
function useResume(): void {
  useEffect(() => {
    if (sessionStorage.getItem(RESUME) && live.get().phase.state === "idle") {
      void live.use(() => openCamera());
    }
    return live.subscribe(() => {
      const { source, phase } = live.get();
      if (phase.state !== "live" || !source) return;
      if (source.kind === "camera") sessionStorage.setItem(RESUME, "camera");
      else sessionStorage.removeItem(RESUME);
    });
  }, []);
}

function toggleFullScreen(): void {
  if (document.fullscreenElement) void document.exitFullscreen();
  else void document.querySelector<HTMLElement>(".stage")?.requestFullscreen();
}

/** What serves here; asked again until somebody answers. */
function useInfo(): { info: Info | null; look: () => void } {
  const [info, setInfo] = useState<Info | null>(null);
  const [asked, setAsked] = useState(0);
  const look = useCallback(() => setAsked((times) => times + 1), []);
  useEffect(() => {
    let timer = 0;
    const ask = async (): Promise<void> => {
      try {
        await redeemLink();
        const found = await getInfo();
        style.useDefaults(found);
        setInfo(found);
      } catch (error) {
        if (error instanceof Refused && error.status === 401) {
          forgetToken();
          live.unauthorised();
        } else {
          timer = window.setTimeout(look, LATER);
        }
      }
    };
    void ask();
    return () => window.clearTimeout(timer);
  }, [asked, look]);
  return { info, look };
}

/** The keys of the map in the help sheet that mean the page as a whole. */
function useMap(info: Info | null, onView: (to: (view: View) => View) => void, onMirror: () => void): void {
  const preset = (step: number): void => {
    const prompts = info?.presets.map(({ prompt }) => prompt) ?? [];
    const at = prompts.indexOf(style.values().prompt);
    const next = prompts.at((at < 0 && step < 0 ? 0 : at) + step) ?? prompts[0];
    if (next !== undefined) style.change({ prompt: next });
  };
  const strength = (step: number): void =>
    style.change({ strength: Math.round(within(style.values().strength + step) * 100) / 100 });
  useKeys({
    b: () => style.change({ bypass: !style.values().bypass }),
    f: toggleFullScreen,
    v: () => onView(nextView),
    m: onMirror,
    n: () => preset(1),
    p: () => preset(-1),
    "+": () => strength(0.04),
    "=": () => strength(0.04), // the key of + without Shift
    "-": () => strength(-0.04),
    ",": () => morph.move(within(morph.get().at - 0.04)),
    ".": () => morph.move(within(morph.get().at + 0.04)),
    t: () => (player.get().playing ? player.stop() : player.play(timeline.get())),
  });
}

const within = (share: number): number => Math.min(1, Math.max(0, share));
