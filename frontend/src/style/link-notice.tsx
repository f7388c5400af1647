import { useEffect, useState } from "react";

import { STRINGS } from "@/strings";
import { Button } from "@/ui/controls";

import { readStyleLink, withoutStyle } from "./style-link";
import type { StyleStore } from "./style-store";

interface LinkNoticeProps {
  store: StyleStore;
  /** What was wrong with the link that opened the page. */
  atLoad: string | null;
}

/** Says what is wrong with a style link; takes one that is pasted into the open page. */
export function LinkNotice({ store, atLoad }: LinkNoticeProps) {
  const [problem, setProblem] = useState(atLoad);
  useEffect(() => {
    const again = (): void => setProblem(takeStyleLink(store));
    window.addEventListener("hashchange", again);
    return () => window.removeEventListener("hashchange", again);
  }, [store]);
  if (problem === null) return null;
  return (
    <div role="alert" data-testid="link-problem" className="card flex items-center gap-3 !py-3 text-sm">
      <p className="grow">{STRINGS.badLink(problem)}</p>
      <Button onClick={() => setProblem(null)}>{STRINGS.close}</Button>
    </div>
  );
}

/** Take the style out of the address into the store; give what is wrong with it. */
export function takeStyleLink(store: StyleStore): string | null {
  try {
    const style = readStyleLink(location.hash, store.get().defaults);
    if (style) store.change(style);
    return null;
  } catch (error) {
    return (error as Error).message;
  } finally {
    const rest = withoutStyle(location.hash);
    if (rest !== location.hash) {
      history.replaceState(null, "", location.pathname + location.search + rest);
    }
  }
}
