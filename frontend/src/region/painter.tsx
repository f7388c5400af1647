import {
  type KeyboardEvent,
  type PointerEvent,
  type RefObject,
  useLayoutEffect,
  useRef,
  useState,
  useSyncExternalStore,
} from "react";

import { STRINGS } from "@/strings";

import type { Brush, Point } from "./brush";
import { BrushBar } from "./brush-bar";
import type { RegionStore } from "./region";

const TEXT = STRINGS.region;
const STEP = 0.04; // shares of the picture that an arrow key moves the brush

interface PainterProps {
  store: RegionStore;
  brush: Brush;
  mirror: boolean;
  aspect: number;
}

/** Lies over the picture while somebody paints: pointer, finger or keys. */
export function Painter({ store, brush, mirror, aspect }: PainterProps) {
  const { tool, radius } = useSyncExternalStore(store.subscribe, store.get);
  const [at, setAt] = useState<Point>({ x: 0.5, y: 0.5 }); // as it is seen
  const last = useRef<Point | null>(null);
  const turned = ({ x, y }: Point): Point => ({ x: mirror ? 1 - x : x, y });
  const stroke = (from: Point, to: Point): void => {
    brush.stroke({ from: turned(from), to: turned(to), radius, aspect, erase: tool === "erase" });
    if (!store.get().painted) store.change({ painted: true });
  };
  const move = (event: PointerEvent): void => {
    const point = placeOf(event);
    setAt(point);
    if (!(event.buttons & 1)) return;
    stroke(last.current ?? point, point);
    last.current = point;
  };
  const press = (event: KeyboardEvent): void => {
    const next = moved(at, event);
    if (next) setAt(next);
    else if (event.key === " " || event.key === "Enter") stroke(at, at);
    else if (event.key === "Escape") store.change({ tool: "off" });
    else return;
    event.preventDefault();
    brush.keep();
  };
  const box = useFocusWhileThere();
  return (
    <div ref={box} className="contents">
      <div
        role="application"
        tabIndex={0}
        data-testid="painter"
        aria-label={TEXT.surface}
        aria-roledescription={TEXT.title}
        className="absolute inset-0 z-10 cursor-none touch-none overflow-hidden outline-offset-[-3px]"
        onPointerDown={(event) => {
          event.currentTarget.setPointerCapture(event.pointerId);
          last.current = null;
          move(event);
        }}
        onPointerMove={move}
        onLostPointerCapture={() => brush.keep()} // also when the system takes the finger away
        onKeyDown={press}
      >
        <span
          aria-hidden="true"
          style={{ left: `${at.x * 100}%`, top: `${at.y * 100}%`, height: `${radius * 200}%` }}
          className={`pointer-events-none absolute aspect-square -translate-1/2 rounded-full border-2 border-white shadow-[0_0_0_1px_rgb(0_0_0/0.6)] ${tool === "erase" ? "border-dashed" : ""}`}
        />
      </div>
      <BrushBar store={store} brush={brush} />
    </div>
  );
}

/** Take the focus to the surface, and back to where it was once that goes; nowhere else if it is elsewhere by then. */
function useFocusWhileThere(): RefObject<HTMLDivElement | null> {
  const box = useRef<HTMLDivElement>(null);
  useLayoutEffect(() => {
    const [here, before] = [box.current, document.activeElement];
    here?.querySelector<HTMLElement>("[tabindex]")?.focus();
    return () => {
      const within = here?.contains(document.activeElement) ?? false;
      if (within && before instanceof HTMLElement) before.focus();
    };
  }, []);
  return box;
}

function placeOf(event: PointerEvent): Point {
  const box = event.currentTarget.getBoundingClientRect();
  return { x: (event.clientX - box.left) / box.width, y: (event.clientY - box.top) / box.height };
}

function moved({ x, y }: Point, { key, shiftKey }: KeyboardEvent): Point | null {
  const step = shiftKey ? STEP / 4 : STEP;
  const ways: Record<string, Point> = {
    ArrowLeft: { x: x - step, y },
    ArrowRight: { x: x + step, y },
    ArrowUp: { x, y: y - step },
    ArrowDown: { x, y: y + step },
  };
  const next = ways[key];
  return next ? { x: Math.min(1, Math.max(0, next.x)), y: Math.min(1, Math.max(0, next.y)) } : null;
}
