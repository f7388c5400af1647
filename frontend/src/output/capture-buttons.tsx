import { useEffect, useState } from "react";

import { STRINGS } from "@/strings";
import { Button } from "@/ui/controls";
import { download } from "@/ui/download";
import { Icon } from "@/ui/icons";

import { type Shown, clock, fileName, snapshot } from "./recording";
import { TYPE, useRecording } from "./use-recording";

/** The video element that has the result. */
const result = (): HTMLVideoElement | null => document.querySelector("video#video-out");

/** What shows it: a canvas where it is put together in the page. */
const seen = (): Shown | null =>
  document.querySelector<HTMLCanvasElement>("canvas#composed") ?? result();

/** Snapshot, recording and picture-in-picture of the restyled picture. */
export function CaptureButtons({ output, mirror }: { output: MediaStream | null; mirror: boolean }) {
  const [problem, setProblem] = useState<string | null>(null);
  const { since, toggle } = useRecording(output, seen, setProblem);
  const take = async (): Promise<void> => {
    const place = seen();
    const picture = place && (await snapshot(place, mirror));
    setProblem(picture ? null : STRINGS.noPicture);
    if (picture) download(picture, fileName(picture.type, new Date()));
  };
  return (
    <>
      <Button
        data-testid="snapshot"
        title={STRINGS.snapshotHint}
        aria-label={STRINGS.snapshot}
        disabled={!output}
        onClick={() => void take()}
      >
        <Icon name="snapshot" />
      </Button>
      {TYPE && (
        <Button
          data-testid="record"
          title={since === null ? STRINGS.recordHint : STRINGS.recordStop}
          aria-label={since === null ? STRINGS.record : STRINGS.recordStop}
          pressed={since !== null}
          disabled={!output}
          onClick={toggle}
        >
          <span aria-hidden="true" className={`size-3 bg-rose-500 ${since === null ? "rounded-full" : "rounded-xs"}`} />
          {since !== null && <Clock since={since} />}
        </Button>
      )}
      {document.pictureInPictureEnabled && !("documentPictureInPicture" in window) && (
        <Button
          data-testid="pip"
          title={STRINGS.pip}
          aria-label={STRINGS.pip}
          disabled={!output}
          onClick={() => void floatOrReturn().catch(() => setProblem(STRINGS.noPip))}
        >
          <Icon name="pip" />
        </Button>
      )}
      {problem !== null && (
        <p role="alert" className="order-last basis-full text-right text-sm text-muted">
          {problem}
        </p>
      )}
    </>
  );
}

async function floatOrReturn(): Promise<void> {
  if (document.pictureInPictureElement) await document.exitPictureInPicture();
  else await result()?.requestPictureInPicture();
}

function Clock({ since }: { since: number }) {
  const [now, setNow] = useState(since);
  useEffect(() => {
    const timer = window.setInterval(() => setNow(Date.now()), 250);
    return () => window.clearInterval(timer);
  }, []);
  return (
    <span data-testid="record-clock" className="tabular-nums">
      {clock(now - since)}
    </span>
  );
}
