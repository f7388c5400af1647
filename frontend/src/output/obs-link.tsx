import { useState } from "react";

import type { Viewer } from "@/call/peer-call";
import { STRINGS } from "@/strings";
import { Checkbox } from "@/ui/controls";
import { CopyButton } from "@/ui/copy-button";

import { overlayLink } from "./overlay-link";

interface Props {
  viewer: Viewer;
  /** Rejects with why the server did not. */
  onKeep: (on: boolean) => Promise<void>;
}

/** Gives the live picture to OBS as a browser source. */
export function ObsLink({ viewer, onKeep }: Props) {
  const [problem, setProblem] = useState<string | null>(null);
  const keep = (on: boolean): void => {
    setProblem(null);
    onKeep(on).catch((error: unknown) => setProblem(String(error instanceof Error ? error.message : error)));
  };
  return (
    <div className="flex flex-wrap items-center gap-x-4 gap-y-2">
      <CopyButton
        label={STRINGS.obs}
        testId="copy-obs"
        text={() => overlayLink(location.origin, viewer)}
      />
      <Checkbox
        label={STRINGS.keepAddress}
        hint={STRINGS.keepAddressHint}
        testId="keep-address"
        checked={viewer.name !== null}
        onChange={keep}
      />
      <p className="min-w-60 flex-1 text-sm text-muted" role={problem ? "alert" : undefined}>
        {problem ?? (viewer.name === null ? STRINGS.obsHint : STRINGS.obsKeptHint)}
      </p>
    </div>
  );
}
