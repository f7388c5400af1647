import { useEffect, useState } from "react";

import { Finder } from "./finder";

export type FinderState = "off" | "loading" | "on" | "failed";

/** What finds people, loaded once it is needed and given back when it is not. */
export function useFinder(needed: boolean, onState: (state: FinderState) => void): Finder | null {
  const [finder, setFinder] = useState<Finder | null>(null);
  useEffect(() => {
    if (!needed) return;
    let made: Finder | null = null;
    let over = false;
    onState("loading");
    const load = async (): Promise<void> => {
      made = await Finder.load();
      if (over) made.close();
      else {
        setFinder(made);
        onState("on");
      }
    };
    load().catch(() => {
      if (!over) onState("failed");
    });
    return () => {
      over = true;
      made?.close();
      setFinder(null);
      onState("off");
    };
  }, [needed, onState]);
  return finder;
}
