import { type ReactNode, Suspense, lazy, useSyncExternalStore } from "react";

import type { LiveState } from "@/call/live-state";
import type { Size } from "@/call/size";
import { Painter } from "@/region/painter";
import { isComposed } from "@/region/region";
import type { FinderState } from "@/region/use-finder";
import { Stage } from "@/stage/stage";
import type { View } from "@/stage/views";

import { brush, live, region } from "./app-state";

const RegionView = lazy(() => import("@/region/region-view")); // for those who want it

interface LiveStageProps {
  state: LiveState;
  size: Size;
  view: View;
  mirror: boolean;
  onFinder: (state: FinderState) => void;
  onComposed: (track: MediaStreamTrack | null) => void;
  children: ReactNode;
}

/** Camera and result, the result put together here where the style does not apply everywhere. */
export function LiveStage({ state, size, view, mirror, onFinder, onComposed, children }: LiveStageProps) {
  const chosen = useSyncExternalStore(region.subscribe, region.get);
  const aspect = size.width / size.height;
  const composed = state.output && isComposed(chosen) && (
    <Suspense>
      <RegionView
        store={region}
        brush={brush}
        mirror={mirror}
        camera={state.source?.stream.getVideoTracks()[0] ?? null}
        size={size}
        delay={delayOf(state)}
        onState={onFinder}
        onPair={pair}
        onTrack={onComposed}
      />
      {chosen.tool !== "off" && <Painter store={region} brush={brush} mirror={mirror} aspect={aspect} />}
    </Suspense>
  );
  return (
    <Stage
      cover={composed}
      input={state.source?.stream ?? null}
      output={state.output}
      view={view}
      mirror={mirror}
    >
      {children}
    </Stage>
  );
}

const pair = (track: MediaStreamTrack | null): void => void live.pair(track);

/** Milliseconds from a picture of the camera to its restyled one. */
const delayOf = ({ stats, roundTrip }: LiveState): number => (stats?.age_ms.p50 ?? 0) + (roundTrip ?? 0);
