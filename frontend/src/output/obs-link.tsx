import { useState } from "react";

import type { Viewer } from "@/call/peer-call";
import type { Size } from "@/call/size";
import { STRINGS } from "@/strings";
import { Button } from "@/ui/controls";
import { CopyButton } from "@/ui/copy-button";

import { AddToObs } from "./add-to-obs";
import { fpsOf } from "./obs";
import { overlayLink } from "./overlay-link";

interface ObsLinkProps {
  /** Null while there is no picture to watch. */
  viewer: Viewer | null;
  size: Size;
  /** What is restyled: the result has no more pictures a second. */
  stream: MediaStream;
}

/** Gives the live picture to OBS as a browser source: by a link, or by asking OBS itself. */
export function ObsLink({ viewer, size, stream }: ObsLinkProps) {
  const [adding, setAdding] = useState(false);
  const link = viewer && overlayLink(location.origin, viewer);
  const { width, height } = size;
  const source = link === null ? null : { url: link, width, height, fps: fpsOf(stream) };
  return (
    <div className="flex flex-wrap items-center gap-x-3 gap-y-2">
      {link !== null && <CopyButton label={STRINGS.obs} testId="copy-obs" text={() => link} />}
      <Button data-testid="add-obs" aria-expanded={adding} onClick={() => setAdding(!adding)}>
        {STRINGS.obsAdd.open}
      </Button>
      <p className="min-w-60 flex-1 text-sm text-muted">{STRINGS.obsHint}</p>
      {adding && <AddToObs source={source} />}
    </div>
  );
}
