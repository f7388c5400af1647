import { useMemo } from "react";

/** The result as a stream, as it is seen: what a canvas puts together, with the sound of the call. */
export function useShown(output: MediaStream | null, composed: HTMLCanvasElement | null): MediaStream | null {
  return useMemo(() => {
    if (!output || !composed) return output;
    return new MediaStream([...composed.captureStream().getVideoTracks(), ...output.getAudioTracks()]);
  }, [output, composed]);
}
