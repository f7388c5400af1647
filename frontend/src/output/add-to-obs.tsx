import { useMemo, useState, useSyncExternalStore } from "react";

import { STRINGS } from "@/strings";
import { Button, Field, INPUT } from "@/ui/controls";

import { type BrowserSource, ObsAdder } from "./obs";

const TEXT = STRINGS.obsAdd;

/** Asks for the port and password of OBS and puts the overlay there; both are gone with this form. */
export function AddToObs({ source }: { source: BrowserSource | null }) {
  const adder = useMemo(() => new ObsAdder(), []);
  const { busy, said } = useSyncExternalStore(adder.subscribe, adder.get);
  const [port, setPort] = useState("4455");
  const [password, setPassword] = useState("");
  return (
    <form
      data-testid="obs-form"
      className="grid basis-full gap-2"
      onSubmit={(event) => {
        event.preventDefault();
        void adder.add(source, Number(port), password);
      }}
    >
      <div className="flex flex-wrap items-end gap-x-3 gap-y-2">
        <Field label={TEXT.port}>
          {(id) => (
            <input
              id={id}
              type="number"
              min={1}
              max={65535}
              required
              className={`${INPUT} max-w-28 text-sm`}
              value={port}
              onChange={(event) => setPort(event.target.value)}
            />
          )}
        </Field>
        <Field label={TEXT.password}>
          {(id) => (
            <input
              id={id}
              type="password"
              autoComplete="off"
              className={`${INPUT} max-w-56 text-sm`}
              value={password}
              onChange={(event) => setPassword(event.target.value)}
            />
          )}
        </Field>
        <Button type="submit" disabled={busy}>
          {TEXT.start}
        </Button>
      </div>
      <p className="text-sm text-muted">{TEXT.hint}</p>
      <p role="status" data-testid="obs-said" className="text-sm wrap-anywhere">
        {said}
      </p>
    </form>
  );
}
