import { useCallback, useEffect, useState, useSyncExternalStore } from "react";

import { type Info, Refused, forgetToken, getInfo, redeemLink } from "@/api/client";
import { Live, type Source } from "@/call/live";
import type { Size } from "@/call/size";
import { CaptureButtons } from "@/output/capture-buttons";
import { ObsLink } from "@/output/obs-link";
import { StatusBadge } from "@/status-badge";
import { openCamera } from "@/source/open-source";
import { SeekBar } from "@/source/seek-bar";
import { SizeChoice } from "@/source/size-choice";
import { SoundChoice } from "@/source/sound-choice";
import { CameraChoice, SourceButtons } from "@/source/source-bar";
import { Stage, type View } from "@/stage/stage";
import { StatsBar } from "@/stats/stats-bar";
import { STRINGS } from "@/strings";
import { LinkNotice, takeStyleLink } from "@/style/link-notice";
import { StylePanel } from "@/style/style-panel";
import { StyleStore } from "@/style/style-store";
import { Button } from "@/ui/controls";
import { Icon } from "@/ui/icons";

import { HelpSheet } from "./help-sheet";
import { Notice } from "./notice";
import { ThemeButton } from "./theme";

const style = new StyleStore();
const linkProblem = takeStyleLink(style);
const live = new Live(style);
const VIEWS: View[] = ["wipe", "side", "only"];
const LATER = 1500; // ms between looks for a server that loads or is away

export function App() {
  const state = useSyncExternalStore(live.subscribe, live.get);
  const { style: values } = useSyncExternalStore(style.subscribe, style.get);
  const [view, setView] = useState<View>("wipe");
  const [mirror, setMirror] = useState(true);
  const { info, look } = useInfo();
  useBypassKey();
  useResume();

  const open = (make: () => Promise<Source>): void => void live.use(make);
  const { source } = state;
  const mirrored = mirror && source?.kind === "camera";
  const shown = state.size ?? info;
  const aspect = shown ? shown.width / shown.height : 1;
  const resize = useCallback((size: Size) => info && live.resize(size, info), [info]);
  return (
    <div className="mx-auto flex min-h-dvh max-w-7xl flex-col gap-4 p-4 sm:p-6">
      <header className="flex items-center gap-3">
        <img src="/icon.svg" alt="" className="size-9" />
        <h1 className="text-xl font-semibold tracking-tight">{STRINGS.name}</h1>
        <span className="grow" />
        <StatusBadge phase={state.phase} />
        <HelpSheet />
        <ThemeButton />
      </header>
      <LinkNotice store={style} atLoad={linkProblem} />
      <main className="grid grow content-start gap-5 lg:grid-cols-[minmax(0,1fr)_22rem]">
        <div className="flex min-w-0 flex-col gap-3">
          <Stage
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
              <span className="grow" />
              <CaptureButtons output={state.output} />
              <ViewChoice view={view} onChange={setView} />
              {source.kind === "camera" && (
                <Button pressed={mirror} title={STRINGS.mirror} aria-label={STRINGS.mirror} onClick={() => setMirror(!mirror)}>
                  <Icon name="mirror" />
                </Button>
              )}
              <Button title={STRINGS.fullscreen} aria-label={STRINGS.fullscreen} onClick={showFullScreen}>
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
        </div>
        <aside className="card h-fit">
          <StylePanel store={style} info={info} />
        </aside>
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

function ViewChoice({ view, onChange }: { view: View; onChange: (view: View) => void }) {
  return (
    <div role="group" aria-label={STRINGS.views} className="flex rounded-xl border border-line bg-raised p-0.5">
      {VIEWS.map((name) => (
        <button
          key={name}
          type="button"
          data-testid={`view-${name}`}
          aria-pressed={view === name}
          onClick={() => onChange(name)}
          className={`min-h-9 rounded-[0.6rem] px-3 text-sm transition ${view === name ? "bg-accent text-on-accent" : "text-muted hover:text-ink"}`}
        >
          {STRINGS[name]}
        </button>
      ))}
    </div>
  );
}

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

function showFullScreen(): void {
  void document.querySelector<HTMLElement>(".stage")?.requestFullscreen();
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

/** B toggles bypass, wherever the focus is, except while typing. */
function useBypassKey(): void {
  useEffect(() => {
    const press = (event: KeyboardEvent): void => {
      const typing = (event.target as HTMLElement).closest("textarea, input:not([type=range])");
      if (event.key.toLowerCase() !== "b" || typing || event.ctrlKey || event.metaKey) return;
      style.change({ bypass: !style.values().bypass });
    };
    window.addEventListener("keydown", press);
    return () => window.removeEventListener("keydown", press);
  }, []);
}
