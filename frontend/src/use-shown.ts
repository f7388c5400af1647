import { useMemo } from "react";

/** The result as a stream, as it is seen: what the page puts together, with the sound of the call. */
export function useShown(output: MediaStream | null, composed: MediaStreamTrack | null): MediaStream | null {
  return useMemo(
    () => (output && composed ? new MediaStream([composed, ...output.getAudioTracks()]) : output),
    [output, composed],
  );
}
