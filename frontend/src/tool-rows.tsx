import { useSyncExternalStore } from "react";

import type { Info } from "@/api/client";
import type { LiveState, Source } from "@/call/live-state";
import type { Size } from "@/call/size";
import { CaptureButtons } from "@/output/capture-buttons";
import { FloatButton } from "@/float/float-button";
import { FloatPanel } from "@/float/float-panel";
import { SizeChoice } from "@/source/size-choice";
import { SoundChoice } from "@/source/sound-choice";
import { CameraChoice, SourceButtons } from "@/source/source-bar";
import { type View, ViewChoice } from "@/stage/views";
import { STRINGS } from "@/strings";
import { Button } from "@/ui/controls";
import { Icon } from "@/ui/icons";

import { live, region, style } from "./app-state";
import { canFillScreen, toggleFullScreen } from "./full-screen";
import { hangUp } from "./use-resume";

const resize = (size: Size, own: Size): void => live.resize(size, own);

interface ToolRowsProps {
  state: LiveState;
  source: Source;
  info: Info | null;
  /** The result as it is seen. */
  shown: MediaStream | null;
  aspect: number;
  view: View;
  onView: (view: View) => void;
  mirror: boolean;
  onMirror: () => void;
  onOpen: (make: () => Promise<Source>) => void;
}

/** Below the picture: what goes in, and what is done with what comes out. */
export function ToolRows(props: ToolRowsProps) {
  const { state, source, info, shown, aspect, view, onView, mirror, onMirror, onOpen } = props;
  const { style: values } = useSyncExternalStore(style.subscribe, style.get);
  const { tool } = useSyncExternalStore(region.subscribe, region.get);
  const camera = source.kind === "camera";
  return (
    <div className="tools grid gap-1.5">
      <div role="group" aria-label={STRINGS.goesIn} className="flex flex-wrap items-center gap-1.5">
        <SourceButtons onOpen={onOpen} active={source.kind} />
        {camera && <CameraChoice source={source} onOpen={onOpen} />}
        {info?.size_step && <SizeChoice live={state} step={info.size_step} own={info} onChange={resize} />}
        <SoundChoice live={live} state={state} />
        <Button data-testid="stop" title={STRINGS.stop} className="danger ml-auto" onClick={hangUp}>
          <Icon name="stop" />
          {STRINGS.stop}
        </Button>
        {state.sourceProblem && (
          <p role="alert" data-testid="source-problem" className="order-last w-full text-sm text-muted">
            {STRINGS.sourceStays(STRINGS.explain[state.sourceProblem])}
          </p>
        )}
      </div>
      <div role="group" aria-label={STRINGS.comesOut} className="flex flex-wrap items-center gap-1.5">
        <ViewChoice view={view} onChange={onView} />
        {camera && (
          <Button pressed={mirror} title={STRINGS.mirror} aria-label={STRINGS.mirror} onClick={onMirror}>
            <Icon name="mirror" />
          </Button>
        )}
        <Button
          data-testid="brush-tool"
          pressed={tool !== "off"}
          title={STRINGS.region.paintHint}
          aria-label={STRINGS.region.brush}
          onClick={region.toggleBrush}
        >
          <Icon name="brush" />
        </Button>
        {canFillScreen() && (
          <Button title={STRINGS.fullscreen} aria-label={STRINGS.fullscreen} onClick={toggleFullScreen}>
            <Icon name="full" />
          </Button>
        )}
        <Button
          data-testid="bypass"
          title={STRINGS.bypassHint}
          pressed={values.bypass}
          onClick={() => style.change({ bypass: !values.bypass })}
        >
          {STRINGS.bypass}
        </Button>
        <span className="ml-auto flex flex-wrap gap-1.5">
          <CaptureButtons output={shown} mirror={mirror && camera} />
          <FloatButton disabled={!shown}>
            <FloatPanel output={shown} mirror={mirror && camera} aspect={aspect} store={style} />
          </FloatButton>
        </span>
      </div>
    </div>
  );
}
