import { useEffect } from "react";

import type { Source } from "@/call/live-state";
import { openCamera } from "@/source/open-source";

import { brush, live, region } from "./app-state";

const KEPT = "restyle.resume";
const GONE = ["OverconstrainedError", "NotFoundError"]; // what browsers say of a camera that is not there

/** End what runs; a reload does not bring it back. */
export function hangUp(): void {
  sessionStorage.removeItem(KEPT);
  brush.clear();
  region.reset();
  live.stop();
}

/** Which camera it is; nothing where the browser does not say. */
const idOf = ({ stream }: Source): string => stream.getVideoTracks()[0]?.getSettings().deviceId ?? "";

/** Open the camera that was on; any other where it is not there any more. */
async function openKept(id: string): Promise<Source> {
  try {
    return await openCamera(id);
  } catch (error) {
    if (GONE.includes((error as Error).name)) return openCamera();
    throw error;
  }
}

/** After a reload the camera that was on comes back by itself, with what was painted. */
export function useResume(): void {
  useEffect(() => {
    const kept = sessionStorage.getItem(KEPT);
    if (kept !== null && live.get().phase.state === "idle") {
      brush.recall().catch(() => region.change({ painted: false })); // it cannot be read: nothing is painted
      void live.use(() => openKept(kept));
    } else if (live.get().phase.state === "idle") region.change({ painted: false });
    return live.subscribe(() => {
      const { source, phase } = live.get();
      if (phase.state !== "live" || !source) return;
      if (source.kind === "camera") sessionStorage.setItem(KEPT, idOf(source));
      else sessionStorage.removeItem(KEPT);
    });
  }, []);
}
