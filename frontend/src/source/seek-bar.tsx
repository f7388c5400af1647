import { useEffect, useState } from "react";

import { STRINGS } from "@/strings";

/** Where a video file is, and a slider to go elsewhere. */
export function SeekBar({ video }: { video: HTMLVideoElement }) {
  const [at, setAt] = useState(video.currentTime);
  useEffect(() => {
    const update = (): void => setAt(video.currentTime);
    video.addEventListener("timeupdate", update);
    return () => video.removeEventListener("timeupdate", update);
  }, [video]);
  if (!Number.isFinite(video.duration)) return null;
  return (
    <input
      type="range"
      data-testid="seek"
      aria-label={STRINGS.seek}
      min={0}
      max={video.duration}
      step={0.1}
      value={at}
      onChange={(event) => {
        // eslint-disable-next-line react-hooks/immutability -- an element, not a value of React's
        video.currentTime = Number(event.target.value);
        setAt(video.currentTime);
      }}
      className="h-6 w-full"
    />
  );
}
