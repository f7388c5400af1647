import { STRINGS } from "@/strings";
import { Icon } from "@/ui/icons";

/** How camera and result share the stage. */
export const VIEWS = ["wipe", "side", "difference", "inset", "only"] as const;
export type View = (typeof VIEWS)[number];

export const nextView = (view: View): View => VIEWS[(VIEWS.indexOf(view) + 1) % VIEWS.length] ?? "wipe";

export function ViewChoice({ view, onChange }: { view: View; onChange: (view: View) => void }) {
  return (
    <div role="group" aria-label={STRINGS.views} className="flex rounded-xl border border-line bg-raised p-0.5">
      {VIEWS.map((name) => (
        <button
          key={name}
          type="button"
          data-testid={`view-${name}`}
          aria-pressed={view === name}
          aria-label={STRINGS.view[name]}
          title={STRINGS.view[name]}
          onClick={() => onChange(name)}
          className={`grid min-h-9 place-items-center rounded-[0.6rem] !px-2 transition ${view === name ? "bg-accent text-on-accent" : "text-muted hover:text-ink"}`}
        >
          <Icon name={name} />
        </button>
      ))}
    </div>
  );
}
