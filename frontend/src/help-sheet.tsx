import { useEffect, useRef, useState } from "react";

import { STRINGS } from "@/strings";
import { Button, Checkbox } from "@/ui/controls";

import { canFillScreen } from "./full-screen";
import { doKeysWork, letKeysWork } from "./keys";

/** The "?" of the header: opens the map of the keys, as does the key itself. */
export function HelpSheet() {
  const sheet = useRef<HTMLDialogElement>(null);
  const [work, setWork] = useState(doKeysWork);
  useEffect(() => {
    const press = (event: KeyboardEvent): void => {
      const typing = (event.target as HTMLElement).closest("textarea, input:not([type=range])");
      if (event.key !== "?" || !doKeysWork() || typing || sheet.current?.open) return;
      sheet.current?.showModal();
    };
    window.addEventListener("keydown", press);
    return () => window.removeEventListener("keydown", press);
  }, []);
  return (
    <>
      <Button
        look="quiet"
        data-testid="help"
        aria-label={STRINGS.help}
        title={STRINGS.help}
        className="max-sm:!px-2.5"
        onClick={() => sheet.current?.showModal()}
      >
        <span aria-hidden="true" className="text-base">
          ?
        </span>
      </Button>
      <dialog
        ref={sheet}
        data-testid="help-sheet"
        aria-labelledby="help-title"
        className="card m-auto w-[min(32rem,calc(100vw-2rem))] text-ink shadow-xl backdrop:bg-stage/60"
      >
        <h2 id="help-title" className="mb-3 text-lg font-semibold">
          {STRINGS.help}
        </h2>
        <dl className="grid grid-cols-[auto_1fr] items-baseline gap-x-4 gap-y-2 text-sm">
          {STRINGS.keys.filter(([key]) => key !== "F" || canFillScreen()).map(([keys, what]) => (
            <div key={keys} className="contents">
              <dt>
                <kbd className="rounded-md border border-line bg-ground px-2 py-0.5">{keys}</kbd>
              </dt>
              <dd className="text-muted">{what}</dd>
            </div>
          ))}
        </dl>
        <form method="dialog" className="mt-4 flex flex-wrap items-center justify-between gap-2">
          <Checkbox
            label={STRINGS.keysWork}
            hint={STRINGS.keysWorkHint}
            testId="keys-work"
            checked={work}
            onChange={(on) => {
              letKeysWork(on);
              setWork(on);
            }}
          />
          <Button type="submit">{STRINGS.close}</Button>
        </form>
      </dialog>
    </>
  );
}
