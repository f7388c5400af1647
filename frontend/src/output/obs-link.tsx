import { useState } from "react";

import type { Viewer } from "@/call/peer-call";
import type { Size } from "@/call/size";
import { STRINGS } from "@/strings";
import { Button, Checkbox } from "@/ui/controls";
import { CopyButton } from "@/ui/copy-button";

import { AddToObs } from "./add-to-obs";
import { fpsOf } from "./obs";
import { overlayLink } from "@/call/overlay-link";

interface Props {
  /** Null while there is no picture to watch. */
  viewer: Viewer | null;
  size: Size;
  /** What is restyled: the result has no more pictures a second. */
  stream: MediaStream;
  /** Gives who watches by which address then; rejects with why the server did not. */
  onKeep: (on: boolean) => Promise<Viewer | null>;
}

/** Gives the live picture to OBS as a browser source: by a link, or by asking OBS itself. */
export function ObsLink({ viewer, size, stream, onKeep }: Props) {
  const [adding, setAdding] = useState(false);
  const [problem, setProblem] = useState<string | null>(null);
  const linkOf = (watched: Viewer): string => overlayLink(location.origin, watched);
  const { width, height } = size;
  // what goes into OBS, by hand or not, is to work next time, too; where the server gives no name, this once
  const keptLink = async (now: Viewer): Promise<string> =>
    linkOf(now.name === null ? ((await onKeep(true).catch(() => null)) ?? now) : now);
  const source = viewer && { address: () => keptLink(viewer), width, height, fps: fpsOf(stream) };
  const keep = (on: boolean): void => {
    setProblem(null);
    onKeep(on).catch((error: unknown) => setProblem(error instanceof Error ? error.message : String(error)));
  };
  return (
    <div className="flex flex-wrap items-center gap-x-3 gap-y-2">
      {viewer && <CopyButton label={STRINGS.obs} testId="copy-obs" text={() => keptLink(viewer)} />}
      <Button data-testid="add-obs" aria-expanded={adding} onClick={() => setAdding(!adding)}>
        {STRINGS.obsAdd.open}
      </Button>
      {viewer && (
        <Checkbox
          label={STRINGS.keepAddress}
          hint={STRINGS.keepAddressHint}
          testId="keep-address"
          checked={viewer.name !== null}
          onChange={keep}
        />
      )}
      <p className="min-w-60 flex-1 text-sm text-muted" role={problem ? "alert" : undefined}>
        {problem ?? (viewer?.name ? STRINGS.obsKeptHint : STRINGS.obsHint)}
      </p>
      {adding && <AddToObs source={source} />}
    </div>
  );
}
