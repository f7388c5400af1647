import type { Viewer } from "@/call/peer-call";
import { STRINGS } from "@/strings";
import { CopyButton } from "@/ui/copy-button";

import { overlayLink } from "./overlay-link";

/** Gives the live picture to OBS as a browser source. */
export function ObsLink({ viewer }: { viewer: Viewer }) {
  return (
    <div className="flex flex-wrap items-center gap-x-3 gap-y-2">
      <CopyButton
        label={STRINGS.obs}
        testId="copy-obs"
        text={() => overlayLink(location.origin, viewer)}
      />
      <p className="min-w-60 flex-1 text-sm text-muted">{STRINGS.obsHint}</p>
    </div>
  );
}
