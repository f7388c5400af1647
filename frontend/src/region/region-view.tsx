import { useEffect, useRef, useState } from "react";

import { Compositor } from "./compositor";
import type { Cut } from "./cuts";
import { loadSegmenter } from "./segmenter";

export type CutoutState = "loading" | "on" | "failed";

interface CutoutProps {
  cut: Cut;
  mirror: boolean;
  /** Milliseconds from camera to result. */
  delay: number;
  onState: (state: CutoutState) => void;
}

/** Over the result: the same picture, put together by a mask of the person. */
export default function Cutout({ cut, mirror, delay, onState }: CutoutProps) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const late = useRef(delay);
  const [compositor, setCompositor] = useState<Compositor | null>(null);
  useEffect(() => {
    late.current = delay;
  }, [delay]);
  useEffect(() => {
    let made: Compositor | null = null;
    let over = false;
    const begin = async (): Promise<void> => {
      onState("loading");
      const segmenter = await loadSegmenter();
      const [input, output] = ["in", "out"].map((side) => document.querySelector<HTMLVideoElement>(`video#video-${side}`));
      if (over || !canvas.current || !input || !output) {
        segmenter.close();
        return;
      }
      made = new Compositor({ canvas: canvas.current, input, output, delay: () => late.current }, segmenter);
      setCompositor(made);
      onState("on");
      await made.run();
    };
    begin().catch(() => {
      if (!over) onState("failed");
    });
    return () => {
      over = true;
      made?.stop();
    };
  }, [onState]);
  useEffect(() => {
    compositor?.show(cut);
  }, [compositor, cut]);
  return (
    <canvas
      ref={canvas}
      data-testid="cutout"
      aria-hidden="true"
      className={`absolute inset-0 size-full ${cut === "alone" ? "checkered" : ""} ${mirror ? "-scale-x-100" : ""}`}
    />
  );
}
