import { type KeyboardEvent, type PointerEvent, type ReactNode, useRef, useState } from "react";

import { STRINGS } from "@/strings";
import { Icon } from "@/ui/icons";

import { Picture } from "./picture";
import type { View } from "./views";

interface StageProps {
  input: MediaStream | null;
  output: MediaStream | null;
  view: View;
  mirror: boolean;
  /** Over the result; a canvas `composed` in it is shown in its place. */
  cover?: ReactNode;
  children?: ReactNode;
}

/** Where the camera's picture lies on the result. */
const CAMERA: Record<View, string> = {
  wipe: "inset-0",
  side: "inset-y-0 left-0 right-1/2",
  difference: "inset-0 mix-blend-difference",
  inset: "bottom-3 right-3 aspect-(--aspect) w-[28%] overflow-hidden rounded-xl ring-2 ring-white/80",
  only: "inset-0 opacity-0",
};

/** The picture, of the shape that --aspect says: the camera on one side of a line that can be dragged, the result on the other. */
export function Stage({ input, output, view, mirror, cover, children }: StageProps) {
  const [split, setSplit] = useState(28);
  const box = useRef<HTMLDivElement>(null);
  const wipe = view === "wipe";
  const side = view === "side";

  const place = (event: PointerEvent): void => {
    const area = box.current?.getBoundingClientRect();
    if (area) setSplit(within(((event.clientX - area.left) / area.width) * 100));
  };

  return (
    <div className="screen">
      <div
        ref={box}
        data-testid="stage"
        className="stage relative isolate mx-auto w-full overflow-hidden rounded-3xl bg-stage shadow-xl"
      >
        <div
          className={`absolute inset-y-0 right-0 has-[canvas#composed]:*:first:opacity-0 ${side ? "left-1/2" : "left-0"}`}
        >
          <div className="size-full">
            <Picture testId="video-out" label={STRINGS.restyled} stream={output} mirror={mirror} />
          </div>
          {cover}
        </div>
        <div
          className={`absolute ${CAMERA[view]}`}
          style={wipe ? { clipPath: `inset(0 ${100 - split}% 0 0)` } : undefined}
        >
          <Picture testId="video-in" label={STRINGS.original} stream={input} mirror={mirror} />
        </div>
        {output && wipe && (
          <div
            data-testid="wipe"
            className="absolute inset-0 touch-pan-y"
            onPointerDown={(event) => {
              event.currentTarget.setPointerCapture(event.pointerId);
              if (event.pointerType !== "touch") place(event); // a finger may be about to scroll
            }}
            onPointerMove={(event) => {
              if (event.buttons & 1) place(event);
            }}
            onPointerUp={(event) => {
              if (event.pointerType === "touch") place(event);
            }}
          >
            <div
              role="slider"
              tabIndex={0}
              data-testid="split"
              aria-label={STRINGS.split}
              aria-valuemin={0}
              aria-valuemax={100}
              aria-valuenow={Math.round(split)}
              onKeyDown={(event) => setSplit((now) => moved(now, event))}
              style={{ left: `${split}%` }}
              className="absolute inset-y-0 w-0.5 -translate-x-1/2 cursor-ew-resize bg-white/90 shadow-[0_0_12px_rgb(0_0_0/0.5)]"
            >
              <span className="absolute top-1/2 left-1/2 grid size-10 -translate-1/2 place-items-center rounded-full bg-white text-slate-900 shadow-lg">
                <Icon name="split" />
              </span>
            </div>
            <Tag className="left-3" hidden={split < 14}>
              {STRINGS.original}
            </Tag>
            <Tag className="right-3" hidden={split > 86}>
              {STRINGS.restyled}
            </Tag>
          </div>
        )}
        {children}
      </div>
    </div>
  );
}

function Tag(props: { className: string; hidden: boolean; children: string }) {
  return (
    <span
      aria-hidden="true"
      className={`pointer-events-none absolute top-3 rounded-full bg-black/45 px-2.5 py-1 text-xs text-white backdrop-blur transition-opacity ${props.className} ${props.hidden ? "opacity-0" : ""}`}
    >
      {props.children}
    </span>
  );
}

const within = (percent: number): number => Math.min(100, Math.max(0, percent));

function moved(now: number, event: KeyboardEvent): number {
  const steps: Record<string, number> = {
    ArrowLeft: now - 4,
    ArrowRight: now + 4,
    PageDown: now - 20,
    PageUp: now + 20,
    Home: 0,
    End: 100,
  };
  const next = steps[event.key];
  if (next === undefined) return now;
  event.preventDefault();
  return within(next);
}
