import { useEffect } from "react";

import { openCamera } from "@/source/open-source";

import { brush, live, region } from "./app-state";

const KEPT = "restyle.resume";

/** End what runs; a reload does not bring it back. */
export function hangUp(): void {
  sessionStorage.removeItem(KEPT);
  brush.clear();
  region.reset();
  live.stop();
}

/** After a reload the camera that was on comes back by itself, with what was painted. */
export function useResume(): void {
  useEffect(() => {
    if (sessionStorage.getItem(KEPT) && live.get().phase.state === "idle") {
      brush.recall().catch(() => region.change({ painted: false })); // it cannot be read: nothing is painted
      void live.use(() => openCamera());
    } else if (live.get().phase.state === "idle") region.change({ painted: false });
    return live.subscribe(() => {
      const { source, phase } = live.get();
      if (phase.state !== "live" || !source) return;
      if (source.kind === "camera") sessionStorage.setItem(KEPT, "camera");
      else sessionStorage.removeItem(KEPT);
    });
  }, []);
}
