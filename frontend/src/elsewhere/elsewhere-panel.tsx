import { useEffect, useState, useSyncExternalStore } from "react";

import {
  type NewSource,
  type SessionState,
  type Style,
  endSession,
  listSessions,
  openSource,
  restyleSession,
} from "@/api/client";
import { overlayLink } from "@/call/overlay-link";
import { STRINGS } from "@/strings";
import { Button, Choice, Field, INPUT, SUMMARY } from "@/ui/controls";

import { Elsewhere, KINDS, figuresOf, titleOf } from "./elsewhere";

const LOOK_EVERY = 2000; // milliseconds, while the panel is open
const GLANCE_EVERY = 10_000; // while it only shows if somebody is there
const store = new Elsewhere({
  list: listSessions,
  open: openSource,
  restyle: restyleSession,
  end: endSession,
});

interface ElsewherePanelProps {
  /** The session of this page, which is not elsewhere. */
  own: string | null;
  style: Style;
  /** Nothing runs here yet: the panel shows only if there is something else. */
  quiet: boolean;
}

/** What the server restyles besides this page's picture, and a way to have it open a source. */
export function ElsewherePanel({ own, style, quiet }: ElsewherePanelProps) {
  const [open, setOpen] = useState(false);
  const { sessions, busy, said } = useSyncExternalStore(store.subscribe, store.get);
  useEffect(() => {
    if (!open && !quiet) return undefined;
    const look = (): void => {
      if (document.visibilityState === "visible") void store.look(); // nobody sees it else
    };
    look();
    const looking = setInterval(look, open ? LOOK_EVERY : GLANCE_EVERY);
    document.addEventListener("visibilitychange", look);
    return () => {
      clearInterval(looking);
      document.removeEventListener("visibilitychange", look);
    };
  }, [open, quiet]);
  const others = sessions.filter(({ id }) => id !== own);
  const text = STRINGS.elsewhere;
  return (
    <details
      className="card"
      data-testid="elsewhere"
      hidden={quiet && !open && others.length === 0}
      onToggle={(event) => setOpen(event.currentTarget.open)}
    >
      <summary className={SUMMARY}>{text.title}</summary>
      <ul className="mt-3 grid gap-4" aria-label={text.title}>
        {others.map((session) => (
          <SessionRow key={session.id} session={session} busy={busy} style={style} />
        ))}
        {others.length === 0 && <li className="text-sm text-muted">{text.none}</li>}
      </ul>
      <SourceForm busy={busy} style={style} />
      <p role="status" className="mt-2 text-sm wrap-anywhere text-muted first-letter:uppercase">
        {said}
      </p>
    </details>
  );
}

function SessionRow({ session, busy, style }: { session: SessionState; busy: boolean; style: Style }) {
  const { id, name, viewer_token: token } = session;
  const text = STRINGS.elsewhere;
  return (
    <li className="flex flex-wrap items-center gap-x-3 gap-y-2" data-testid="elsewhere-session">
      <div className="min-w-52 flex-1 text-sm wrap-anywhere">
        <h2 className="font-medium">{titleOf(session)}</h2>
        <p className="text-muted tabular-nums">{figuresOf(session)}</p>
      </div>
      <span className="flex flex-wrap gap-1.5">
        <a
          className="inline-flex min-h-10 items-center rounded-xl px-3.5 text-sm font-medium text-accent-ink hover:bg-line/50"
          href={overlayLink(location.origin, { id, name, token })}
          target="_blank"
          rel="noreferrer"
        >
          {text.watch}
        </a>
        <Button title={text.giveHint} disabled={busy} onClick={() => void store.restyle(id, style)}>
          {text.give}
        </Button>
        <Button className="danger" disabled={busy} onClick={() => void store.end(id)}>
          {text.end}
        </Button>
      </span>
    </li>
  );
}

function SourceForm({ busy, style }: { busy: boolean; style: Style }) {
  const [kind, setKind] = useState<NewSource["kind"]>(KINDS[0]);
  const [at, setAt] = useState("");
  const text = STRINGS.elsewhere;
  return (
    <form
      className="mt-4 flex flex-wrap items-end gap-x-3 gap-y-2"
      onSubmit={(event) => {
        event.preventDefault();
        void store.open({ kind, at, style }).then((done) => done && setAt(""));
      }}
    >
      <Choice label={text.open} names={text.kinds} value={kind} testId="elsewhere-kind" onChange={setKind} />
      <div className="min-w-52 flex-1">
        <Field label={text.at}>
          {(id) => (
            <input
              id={id}
              data-testid="elsewhere-at"
              required
              autoComplete="off"
              spellCheck={false}
              className={`${INPUT} text-sm`}
              placeholder={text.examples[kind]}
              value={at}
              onChange={(event) => setAt(event.target.value)}
            />
          )}
        </Field>
      </div>
      <Button type="submit" disabled={busy}>
        {text.start}
      </Button>
      <p className="w-full text-sm text-muted">{text.allowed}</p>
    </form>
  );
}
