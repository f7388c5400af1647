import { useEffect, useMemo, useState, useSyncExternalStore } from "react";

import { type OutputKind, type OutputState, endOutput, listOutputs, startOutput } from "@/api/client";
import { goes } from "@/call/live-state";
import { STRINGS } from "@/strings";
import { Button, Choice, Field, INPUT, SUMMARY } from "@/ui/controls";

import { BLACK, type Backdrop, FIELDS, type Fields, KINDS, Outputs, figures, told } from "./outputs";

const CALLS = { list: listOutputs, start: startOutput, end: endOutput };

interface OutputsPanelProps {
  /** Null while there is none; what was typed stays for the next one. */
  session: string | null;
  outputs: readonly OutputState[];
  /** What ended with the connection. */
  lost: readonly OutputKind[];
}

/** Where else the server sends the picture of this session: a switch for each kind. */
export function OutputsPanel({ session, outputs, lost }: OutputsPanelProps) {
  const store = useMemo(() => new Outputs(session ?? "", CALLS), [session]);
  const [backdrop, setBackdrop] = useState<Backdrop>(BLACK);
  const { kinds, busy, said } = useSyncExternalStore(store.subscribe, store.get);
  useEffect(() => {
    if (session !== null) void store.look();
  }, [store, session]);
  const going = outputs.filter(goes);
  const namesOf = (some: readonly OutputKind[]): string => some.map((kind) => STRINGS.outputKinds[kind]).join(", ");
  return (
    <details className="card" data-testid="outputs" hidden={session === null && lost.length === 0}>
      <summary className={SUMMARY}>
        {STRINGS.outputs}
        {going.length > 0 && (
          <span data-testid="outputs-going" className="ml-2 text-ink">
            <span aria-hidden="true" className="mr-1.5 inline-block size-2.5 rounded-full bg-rose-500" />
            {namesOf(going.map(({ kind }) => kind))}
          </span>
        )}
        <span role="status" data-testid="outputs-lost" className="mt-1 block font-medium text-ink empty:hidden">
          {lost.length > 0 && STRINGS.outputsLost(namesOf(lost))}
        </span>
      </summary>
      <ul className="mt-3 grid gap-4">
        {KINDS.map((kind) => (
          <KindRow
            key={kind}
            kind={kind}
            outputs={outputs.filter((output) => output.kind === kind)}
            missing={kinds[kind]}
            busy={busy.includes(kind)}
            said={said[kind] ?? ""}
            onToggle={(fields) => void store.toggle(kind, outputs, fields, backdrop)}
          />
        ))}
      </ul>
      <div className="mt-4 max-w-80" title={STRINGS.backdropHint}>
        <Choice
          label={STRINGS.backdrop}
          names={STRINGS.backdrops}
          value={backdrop}
          testId="output-backdrop"
          onChange={setBackdrop}
          onReset={backdrop === BLACK ? undefined : () => setBackdrop(BLACK)}
        />
      </div>
    </details>
  );
}

interface KindRowProps {
  kind: OutputKind;
  outputs: readonly OutputState[];
  /** Why it cannot be started, null: it can; undefined before the server has said. */
  missing: string | null | undefined;
  busy: boolean;
  said: string;
  onToggle: (fields: Fields) => void;
}

function KindRow({ kind, outputs, missing, busy, said, onToggle }: KindRowProps) {
  const [fields, setFields] = useState<Fields>({});
  const on = outputs.some(goes);
  const name = STRINGS.outputKinds[kind];
  return (
    <li data-testid={`output-${kind}`}>
      <form
        className="flex flex-wrap items-end gap-x-3 gap-y-2"
        onSubmit={(event) => {
          event.preventDefault();
          onToggle(fields);
          setFields(({ url }) => (url === undefined ? {} : { url })); // secrets are not kept
        }}
      >
        <div className="min-w-52 flex-1 self-center text-sm">
          <h2 className="font-medium">{name}</h2>
          <p className="text-muted first-letter:uppercase">{missing ?? STRINGS.outputHints[kind]}</p>
        </div>
        {!on && missing === null && (
          <InputFields kind={kind} fields={fields} onChange={setFields} />
        )}
        <Button
          type="submit"
          pressed={on}
          aria-label={on ? STRINGS.endOne(name) : STRINGS.startOne(name)}
          disabled={busy || (!on && missing !== null)}
        >
          {on ? STRINGS.endOutput : STRINGS.startOutput}
        </Button>
      </form>
      <div role="status" className="text-sm">
        {outputs.map((output) => (
          <StateLine key={output.id} output={output} />
        ))}
        {said !== "" && <p className="mt-1 wrap-anywhere text-muted first-letter:uppercase">{said}</p>}
      </div>
    </li>
  );
}

interface InputFieldsProps {
  kind: OutputKind;
  fields: Fields;
  onChange: (fields: Fields) => void;
}

function InputFields({ kind, fields, onChange }: InputFieldsProps) {
  return FIELDS[kind].map((name) => (
    <Field key={name} label={STRINGS.outputFields[name]}>
      {(id) => (
        <input
          id={id}
          type={name === "url" ? "text" : "password"}
          autoComplete="off"
          spellCheck={false}
          required={name === "url"}
          placeholder={name === "url" ? `${kind}://` : ""}
          className={`${INPUT} max-w-56 text-sm`}
          value={fields[name] ?? ""}
          onChange={(event) => onChange({ ...fields, [name]: event.target.value })}
        />
      )}
    </Field>
  ));
}

function StateLine({ output }: { output: OutputState }) {
  const { state, target, problem } = output;
  return (
    <p className="mt-1 wrap-anywhere">
      <span data-testid="output-state" className={goes(output) ? "" : "font-semibold"}>
        {STRINGS.outputStates[state]}
      </span>{" "}
      <span className="text-muted tabular-nums">
        {target} · <span aria-live="off">{figures(output)}</span>
        {problem && state !== "live" && ` · ${told(problem.detail, problem.id)}`}
      </span>
    </p>
  );
}
