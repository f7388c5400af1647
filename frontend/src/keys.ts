import { useEffect, useRef } from "react";

const KEPT = "restyle.keys";

/** Whether single keys do something: of speech input, and of hands that tremble, some come by mistake. */
export const doKeysWork = (): boolean => localStorage.getItem(KEPT) !== "off";

export function letKeysWork(on: boolean): void {
  if (on) localStorage.removeItem(KEPT);
  else localStorage.setItem(KEPT, "off");
}

/** Run an action at its key, wherever the focus is, except while somebody types. */
export function useKeys(actions: Readonly<Record<string, () => void>>): void {
  const newest = useRef(actions);
  useEffect(() => {
    newest.current = actions;
  });
  useEffect(() => {
    const press = (event: KeyboardEvent): void => {
      if (!doKeysWork() || event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target)) return;
      const key = event.key.toLowerCase();
      if (Object.hasOwn(newest.current, key)) newest.current[key]?.();
    };
    window.addEventListener("keydown", press);
    return () => window.removeEventListener("keydown", press);
  }, []);
}

const isTyping = (target: EventTarget | null): boolean =>
  target instanceof Element && target.closest("textarea, select, dialog[open], input:not([type=range])") !== null;
