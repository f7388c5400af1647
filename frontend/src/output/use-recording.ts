import { useEffect, useRef, useState } from "react";

import { STRINGS } from "@/strings";
import { download } from "@/ui/download";

import { OwnStream } from "./own-stream";
import { type Shown, copyOf, fileName, pickType, record } from "./recording";

/** What this browser writes; null: it records nothing. */
export const TYPE = typeof MediaRecorder === "undefined" ? null : pickType((type) => MediaRecorder.isTypeSupported(type));

interface Recording {
  /** When it began, as Date.now() counts; null while nothing is recorded. */
  since: number | null;
  toggle: () => void;
}

/** Records what is shown until it is stopped, whatever its tracks are meanwhile; the end of the source saves it. */
export function useRecording(
  shown: MediaStream | null,
  seen: () => Shown | null,
  setProblem: (problem: string | null) => void,
): Recording {
  const [since, setSince] = useState<number | null>(null);
  const recorder = useRef<MediaRecorder | null>(null);
  const own = useRef<OwnStream | null>(null);
  useEffect(() => own.current?.show(shown), [shown]);
  useEffect(() => {
    if (since === null) return;
    const ask = (event: BeforeUnloadEvent): void => event.preventDefault(); // what is recorded would be lost
    window.addEventListener("beforeunload", ask);
    return () => window.removeEventListener("beforeunload", ask);
  }, [since]);
  const stop = (): void => {
    if (recorder.current?.state === "recording") recorder.current.stop();
    recorder.current = null;
  };
  useEffect(() => stop, []);
  const begin = (stream: MediaStream, type: string): void => {
    const place = seen();
    const first = place && copyOf(place, false);
    if (!first) {
      setProblem(STRINGS.noPicture);
      return;
    }
    try {
      const made = new OwnStream(stream, first);
      own.current = made;
      recorder.current = record(made.stream, type, (file) => {
        made.close();
        // else another has begun meanwhile
        if (own.current === made) {
          own.current = null;
          setSince(null);
        }
        if (file.size > 0) download(file, fileName(file.type, new Date()));
        else setProblem(STRINGS.nothingRecorded);
      });
      setSince(Date.now());
    } catch {
      own.current?.close();
      own.current = null;
      setProblem(STRINGS.noRecording);
    }
  };
  const toggle = (): void => {
    setProblem(null);
    if (recorder.current?.state === "recording") stop();
    else if (shown && TYPE) begin(shown, TYPE);
  };
  return { since, toggle };
}
