import { useEffect, useRef } from "react";

interface PictureProps {
  stream: MediaStream | null;
  label: string;
  testId: string;
  mirror: boolean;
}

/** A stream in a video element. Frames never pass through React. */
export function Picture({ stream, label, testId, mirror }: PictureProps) {
  const video = useRef<HTMLVideoElement>(null);
  useEffect(() => {
    if (video.current && video.current.srcObject !== stream) video.current.srcObject = stream;
  }, [stream]);
  return (
    <video
      ref={video}
      id={testId}
      data-testid={testId}
      aria-label={label}
      autoPlay
      muted
      playsInline
      className={`size-full object-cover ${mirror ? "-scale-x-100" : ""} ${stream ? "" : "opacity-0"}`}
    />
  );
}
