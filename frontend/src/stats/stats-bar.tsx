import type { Stats } from "@/api/client";
import { STRINGS } from "@/strings";

const COLOURS: Record<string, string> = {
  wait: "#94a3b8",
  convert_in: "#38bdf8",
  encode: "#34d399",
  unet: "#a78bfa",
  decode: "#fb923c",
  convert_out: "#f472b6",
};

/** Live figures, twice a second. */
export function StatsBar({ stats, roundTrip }: { stats: Stats | null; roundTrip: number | null }) {
  if (!stats) return null;
  const latency = (age: number | null): string => (age === null ? "–" : (age + (roundTrip ?? 0)).toFixed(0));
  return (
    <div className="flex flex-wrap items-center gap-x-6 gap-y-2 text-sm text-muted tabular-nums">
      <Figure testId="fps-in" value={stats.fps_in.toFixed(0)} label={`${STRINGS.fps} ${STRINGS.fpsIn}`} />
      <Figure testId="fps-out" value={stats.fps_out.toFixed(0)} label={`${STRINGS.fps} ${STRINGS.fpsOut}`} />
      <Figure
        testId="latency"
        value={latency(stats.age_ms.p50)}
        label={`ms ${STRINGS.latency}`}
        hint={STRINGS.latencyHint}
      />
      <Figure
        testId="latency-p95"
        value={latency(stats.age_ms.p95)}
        label={`ms ${STRINGS.latencyP95}`}
        hint={STRINGS.latencyP95Hint}
      />
      <Figure
        testId="dropped"
        value={String(stats.dropped)}
        label={STRINGS.dropped}
        hint={STRINGS.droppedHint}
      />
      {stats.skipped > 0 && (
        <Figure
          testId="skipped"
          value={String(stats.skipped)}
          label={STRINGS.skipped}
          hint={STRINGS.skippedHint}
        />
      )}
      {stats.flicker !== null && (
        <Figure
          testId="flicker"
          value={stats.flicker.toFixed(1)}
          label={STRINGS.flicker}
          hint={STRINGS.flickerHint}
        />
      )}
      <Stages stages={stats.stages_ms} />
    </div>
  );
}

function Figure(props: { testId: string; value: string; label: string; hint?: string }) {
  return (
    <span title={props.hint}>
      <b data-testid={props.testId} className="font-semibold text-ink">
        {props.value}
      </b>{" "}
      {props.label}
    </span>
  );
}

function Stages({ stages }: { stages: Stats["stages_ms"] }) {
  const entries = Object.entries(stages);
  const total = entries.reduce((sum, [, ms]) => sum + ms, 0);
  if (total === 0) return null;
  const words = entries.map(([name, ms]) => `${name.replace("_", " ")} ${ms.toFixed(1)}`).join(", ");
  return (
    <div
      role="img"
      aria-label={`${STRINGS.stages}: ${words}`}
      title={words}
      className="flex h-2.5 min-w-40 grow overflow-hidden rounded-full"
    >
      {entries.map(([name, ms]) => (
        <span key={name} style={{ flexGrow: ms, background: COLOURS[name] ?? "#94a3b8" }} />
      ))}
    </div>
  );
}
