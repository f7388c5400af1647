import { useEffect, useRef, useState, useSyncExternalStore } from "react";

import type { Size } from "@/call/size";

import type { Brush } from "./brush";
import { Compositor } from "./compositor";
import { Pairing } from "./pairing";
import type { RegionStore } from "./region";
import { type FinderState, useFinder } from "./use-finder";

interface RegionViewProps {
  store: RegionStore;
  brush: Brush;
  mirror: boolean;
  /** The track of the source. */
  camera: MediaStreamTrack | null;
  /** Of the restyled picture. */
  size: Size;
  /** Milliseconds from camera to result. */
  delay: number;
  onState: (state: FinderState) => void;
  /** Send this in place of the camera's picture; null: that one again. */
  onPair: (track: MediaStreamTrack | null) => void;
  /** What gives the result as it is seen; null: the call's own picture again. */
  onTrack: (track: MediaStreamTrack | null) => void;
}

/** Over the result: the same picture, put together where the style does not apply everywhere. */
export default function RegionView(props: RegionViewProps) {
  const { store, brush, mirror, camera, size, delay, onState, onPair, onTrack } = props;
  const { where, outside } = useSyncExternalStore(store.subscribe, store.get);
  const canvas = useRef<HTMLCanvasElement>(null);
  const late = useRef(delay);
  const [compositor, setCompositor] = useState<Compositor | null>(null);
  const [broken, setBroken] = useState(false); // no WebGL, or none any more: the call's own picture stays in sight
  const finder = useFinder(where !== "everywhere", onState);
  useEffect(() => {
    late.current = delay;
  }, [delay]);

  useEffect(() => {
    const [input, output] = [videoOf("in"), videoOf("out")];
    const shown = canvas.current;
    if (!shown || !input || !output) return;
    let made: Compositor | null = null;
    let track: MediaStreamTrack | null = null;
    const fail = (): void => onState("failed");
    const end = (): void => {
      made?.stop();
      track?.stop();
      onTrack(null);
    };
    const breakDown = (): void => {
      end();
      setBroken(true);
      fail();
    };
    shown.addEventListener("webglcontextlost", breakDown); // the system may take the GPU away
    try {
      made = new Compositor({ canvas: shown, input, output, delay: () => late.current }, brush, store.get);
      made.run(fail).catch(fail);
      setCompositor(made);
      track = shown.captureStream().getVideoTracks()[0] ?? null;
      onTrack(track);
    } catch {
      breakDown();
    }
    return () => {
      shown.removeEventListener("webglcontextlost", breakDown);
      end();
    };
  }, [brush, store, onState, onTrack]);

  useEffect(() => {
    // eslint-disable-next-line react-hooks/immutability -- a worker beside React, not a value of it
    if (compositor) compositor.finder = outside === "overlays" ? null : finder;
  }, [compositor, finder, outside]);

  const ready = where === "everywhere" || finder !== null;
  const paired = outside === "overlays" && ready;
  const pairing = useRef<Pairing | null>(null);
  useEffect(() => {
    if (!paired) return;
    const made = new Pairing(finder, brush, store.get);
    pairing.current = made;
    onPair(made.track);
    return () => {
      pairing.current = null;
      onPair(null);
      made.stop();
    };
  }, [paired, finder, brush, store, onPair]);
  useEffect(() => {
    if (paired) pairing.current?.resize(size);
  }, [paired, finder, size]);
  useEffect(() => {
    if (paired && camera) pairing.current?.take(camera, () => onState("failed"));
  }, [paired, finder, camera, onState]);

  return broken ? null : (
    <canvas
      ref={canvas}
      id="composed"
      data-testid="composed"
      aria-hidden="true"
      className={`absolute inset-0 size-full ${outside === "nothing" || outside === "overlays" ? "checkered" : ""} ${mirror ? "-scale-x-100" : ""}`}
    />
  );
}

const videoOf = (side: "in" | "out"): HTMLVideoElement | null => document.querySelector(`video#video-${side}`);
