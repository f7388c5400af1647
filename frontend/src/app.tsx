import { type CSSProperties, useState, useSyncExternalStore } from "react";

import type { Source } from "@/call/live-state";
import { ElsewherePanel } from "@/elsewhere/elsewhere-panel";
import { MidiPanel } from "@/midi/midi-panel";
import { ObsLink } from "@/output/obs-link";
import { OutputsPanel } from "@/output/outputs-panel";
import { BlendPanel } from "@/play/blend-panel";
import { MorphPanel } from "@/play/morph-panel";
import { TimelinePanel } from "@/play/timeline-panel";
import { RegionPanel } from "@/region/region-panel";
import type { FinderState } from "@/region/use-finder";
import { SeekBar } from "@/source/seek-bar";
import type { View } from "@/stage/views";
import { StatsBar } from "@/stats/stats-bar";
import { StatusBadge } from "@/status-badge";
import { STRINGS } from "@/strings";
import { LinkNotice } from "@/style/link-notice";
import { StylePanel } from "@/style/style-panel";

import { linkProblem, live, midi, morph, player, region, style, targets, timeline } from "./app-state";
import { HelpSheet } from "./help-sheet";
import { LiveStage } from "./live-stage";
import { Notice, asksForSource } from "./notice";
import { ThemeButton } from "./theme";
import { ToolRows } from "./tool-rows";
import { useDrop } from "./use-drop";
import { useInfo } from "./use-info";
import { useMap } from "./use-map";
import { useResume } from "./use-resume";
import { useShown } from "./use-shown";
import { Backdrop, Welcome } from "./welcome";

const LOADING = { state: "loading" } as const;
const open = (make: () => Promise<Source>): void => void live.use(make);

export function App() {
  const state = useSyncExternalStore(live.subscribe, live.get);
  const { style: values, hint } = useSyncExternalStore(style.subscribe, style.get);
  const [view, setView] = useState<View>("wipe");
  const [mirror, setMirror] = useState(true);
  const [finder, setFinder] = useState<FinderState>("off");
  const [composed, setComposed] = useState<MediaStreamTrack | null>(null);
  const { info, loading, look } = useInfo();
  const shown = useShown(state.output, composed);
  const turn = (): void => setMirror((on) => !on);
  useMap(info, setView, turn);
  useResume();
  useDrop(open);

  const { source, viewer } = state;
  const size = state.size ?? info ?? { width: 256, height: 256 };
  const aspect = size.width / size.height;
  return (
    <div className="mx-auto flex min-h-dvh max-w-7xl flex-col gap-4 p-4 sm:p-6">
      <header className="flex flex-wrap items-center gap-x-1 gap-y-2 sm:gap-x-3">
        <img src="/icon.svg" alt="" className="size-9" />
        <h1 className="text-xl font-semibold tracking-tight">{STRINGS.name}</h1>
        <span className="grow" />
        <StatusBadge phase={loading && state.phase.state === "idle" ? LOADING : state.phase} engine={state.engine} hint={hint} />
        <HelpSheet />
        <ThemeButton />
      </header>
      <LinkNotice store={style} atLoad={linkProblem} />
      <main
        className="page-grid grid grow content-start gap-x-5 gap-y-3 lg:grid-rows-[auto_auto_1fr]"
        style={{ "--aspect": aspect * (view === "side" ? 2 : 1) } as CSSProperties}
      >
        <div className="flex min-w-0 flex-col gap-3 lg:col-start-1">
          <LiveStage
            state={state}
            size={size}
            view={view}
            mirror={mirror && source?.kind === "camera"}
            onFinder={setFinder}
            onComposed={setComposed}
          >
            {!source && (asksForSource(state.phase) ? <Backdrop /> : <Welcome onOpen={open} />)}
            <Notice live={state} onOpen={open} onHurry={live.hurry} onToken={look} />
          </LiveStage>
          {source?.video && <SeekBar video={source.video} />}
        </div>
        <aside className="card h-fit lg:col-start-2 lg:row-span-3 lg:row-start-1">
          <StylePanel store={style} info={info} />
        </aside>
        <div className="flex min-w-0 flex-col gap-3 lg:col-start-1">
          {source && (
            <ToolRows
              state={state}
              source={source}
              info={info}
              shown={shown}
              aspect={aspect}
              view={view}
              onView={setView}
              mirror={mirror}
              onMirror={turn}
              onOpen={open}
            />
          )}
          <StatsBar stats={state.stats} roundTrip={state.roundTrip} />
          {source && (
            <ObsLink
              viewer={state.phase.state === "live" ? viewer : null}
              size={size}
              stream={source.stream}
              onKeep={live.keepAddress}
            />
          )}
          {source && <OutputsPanel session={viewer?.id ?? null} outputs={state.outputs} lost={state.lostOutputs} />}
          {info && state.phase.state !== "unauthorised" && (
            <ElsewherePanel own={viewer?.id ?? null} style={values} quiet={!source} />
          )}
        </div>
        <section aria-label={STRINGS.perform} className="card flex h-fit flex-col gap-4 lg:col-start-1">
          <BlendPanel prompt={values.prompt} onCommit={(prompt) => style.change({ prompt })} />
          <TimelinePanel store={style} player={player} timeline={timeline} />
          <MorphPanel store={style} morph={morph} />
          <RegionPanel store={region} state={finder} />
          <MidiPanel midi={midi} targets={targets} />
        </section>
      </main>
    </div>
  );
}
