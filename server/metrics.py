"""Figures for Prometheus, read from what is counted anyway when somebody asks; nothing per frame.

No label names a session: labels live as long as the database, sessions for minutes. Figures of one
session: GET /api/sessions, or `restyle top`.
"""

import asyncio
import multiprocessing
import os
import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from itertools import product
from pathlib import Path
from statistics import fmean
from typing import Any, get_args

from prometheus_client import CollectorRegistry, GCCollector, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from server.access import Answers
from server.loading import engine_if_loaded
from server.output_totals import Count, OutputTotals
from server.past import counts
from server.routes.context import Context
from server.schema.outputs import OutputKind
from server.schema.sessions import Stats
from server.version import VERSION

_STATES = ("connecting", "live", "stalled", "closed")
_CHILDREN = ("engine", "media")  # names of processes: streams/engine_handle.py, media_handle.py
_OUTPUT_STATES = ("starting", "live", "retrying", "failed")
_OUTPUT_COUNTS: dict[Count, tuple[str, str]] = {
    "frames": ("frames", "Pictures written to outputs"),
    "dropped": ("frames_dropped", "Pictures that came while an output was behind or away"),
    "bytes": ("bytes", "Bytes that outputs wrote"),
    "losses": ("losses", "How often outputs were lost or could not be reached"),
}


def exposition(here: Context, answers: Answers) -> bytes:
    """Give everything in the Prometheus text format. On the loop only."""
    registry = CollectorRegistry()
    registry.register(_Server(here, answers))
    ProcessCollector(registry=registry)
    GCCollector(registry=registry)
    return generate_latest(registry)


class _Server(Collector):
    def __init__(self, here: Context, answers: Answers) -> None:
        self._here, self._answers = here, answers

    def collect(self) -> Iterable[Metric]:
        here = self._here
        sessions = list(here.sessions)
        stats = [session.figures() for session in sessions]
        yield from _engine(here)
        yield from _places(here, [session.phase for session in sessions])
        yield from _frames(here, stats)
        yield from _speed(stats)
        yield from _outputs(here.sessions.past.outputs)
        yield from _process(here, self._answers)


def _engine(here: Context) -> Iterator[Metric]:
    engine = engine_if_loaded(here.worker)
    yield _gauge("ready", "1 when a session can be served", here.sessions.ready)
    yield _gauge("draining", "1 while the server is closing", here.sessions.draining)
    if engine is None:
        return
    labels = ("version", "model", "backend", "device")
    info = GaugeMetricFamily("restyle_info", "What serves here; always 1", labels=labels)
    info.add_metric((VERSION, engine.model, engine.backend, engine.device), 1)
    yield info
    yield _gauge("engine_running", "0 while it is away", here.worker.engine_state == "running")
    lost = "How often the engine's process died or was killed"
    yield _counter("engine_losses", lost, here.worker.engine_losses)
    name = "engine_seconds_per_frame"
    yield _gauge(name, "A frame's cost, measured at warm-up", engine.ms_per_frame / 1000)


def _places(here: Context, phases: list[str]) -> Iterator[Metric]:
    past = here.sessions.past
    yield _gauge("slots", "Sessions that may be served at once", here.sessions.slots)
    open_now = GaugeMetricFamily("restyle_sessions", "Open sessions", labels=("state",))
    for state in _STATES:
        open_now.add_metric((state,), phases.count(state))
    yield open_now
    yield _counter("sessions_opened", "Sessions that were let in", past.opened)
    yield _counters("sessions_ended", "Sessions that are over", "reason", past.ended)


def _frames(here: Context, stats: list[Stats]) -> Iterator[Metric]:
    totals = Counter(here.sessions.past.frames)
    for one in stats:
        totals.update(counts(one))
    yield _counter("frames_in", "Input frames", totals["in"])
    yield _counter("frames_out", "Frames handed to an output", totals["out"])
    yield _counter(
        "frames_skipped", "Results repeated: the input had hardly changed", totals["skipped"]
    )
    yield _counter("frames_dropped", "Input frames that a newer one replaced", totals["dropped"])
    failed = "Frames that the engine could not do and that passed through unstyled"
    yield _counter("frames_failed", failed, here.worker.failures)


def _speed(stats: list[Stats]) -> Iterator[Metric]:
    live = [one for one in stats if one.age_ms.p95 is not None]
    yield _gauge("fps_in", "Frames a second in, all sessions", sum(s.fps_in for s in stats))
    yield _gauge("fps_out", "Frames a second out, all sessions", sum(s.fps_out for s in stats))
    age = GaugeMetricFamily(
        "restyle_frame_age_seconds",
        "Age of a frame at hand-over, last five seconds, of the session that is worst off",
        labels=("quantile",),
    )
    if live:
        age.add_metric(("0.5",), max(one.age_ms.p50 or 0.0 for one in live) / 1000)
        age.add_metric(("0.95",), max(one.age_ms.p95 or 0.0 for one in live) / 1000)
    yield age
    stages = GaugeMetricFamily(
        "restyle_stage_seconds", "Mean time a frame spends in a stage", labels=("stage",)
    )
    for stage in sorted({stage for one in stats for stage in one.stages_ms}):
        spent = [one.stages_ms[stage] for one in stats if stage in one.stages_ms]
        stages.add_metric((stage,), fmean(spent) / 1000)
    yield stages


def _outputs(totals: OutputTotals) -> Iterator[Metric]:
    """Give what outputs do by kind; where they go is nobody's business here."""
    now, sums = totals.states(), totals.counts()
    kinds: tuple[OutputKind, ...] = get_args(OutputKind)
    open_now = GaugeMetricFamily("restyle_outputs", "Open outputs", labels=("kind", "state"))
    for kind, state in product(kinds, _OUTPUT_STATES):
        open_now.add_metric((kind, state), now[kind, state])
    yield open_now
    yield _counters("outputs_started", "Outputs that were started", "kind", totals.started)
    for count, (name, text) in _OUTPUT_COUNTS.items():
        family = CounterMetricFamily(f"restyle_output_{name}", text, labels=("kind",))
        for kind in kinds:
            family.add_metric((kind,), sums[count, kind])
        yield family


def _process(here: Context, answers: Answers) -> Iterator[Metric]:
    lag = GaugeMetricFamily(
        "restyle_loop_lag_seconds", "Lateness of the event loop, last minute", labels=("quantile",)
    )
    lag.add_metric(("0.99",), here.loop_lag.p99_ms() / 1000)
    lag.add_metric(("1",), here.loop_lag.max_ms() / 1000)
    yield lag
    its = "Lateness of the media process's loop that is latest, last minute"
    yield _gauge("media_loop_lag_p99_seconds", its, here.media.lag_p99_ms() / 1000)
    yield _gauge("media_processes", "Media processes that are there", here.media.alive)
    yield _counter("media_losses", "Media processes that died or were killed", here.media.losses)
    yield _counters("osc_messages", "OSC messages", "result", here.osc)
    yield _gauge("threads", "Threads of the process, those of libraries too", _threads())
    yield _gauge("tasks", "Tasks of the event loop", len(asyncio.all_tasks()))
    peers = "Peer connections in this process; of sessions that are just closing one each"
    yield _gauge("peers", peers, _peers(here))
    yield _children()
    told = CounterMetricFamily(
        "restyle_http_answers", "Answered requests", labels=("method", "status")
    )
    for (method, status), count in sorted(answers.items()):
        told.add_metric((method, str(status)), count)
    yield told


def _peers(here: Context) -> int:
    if here.settings.media_processes:
        return 0
    sessions = list(here.sessions)
    sent = sum(session.source is None for session in sessions)
    return sent + sum(len(session.viewers) for session in sessions) + here.sessions.closing


def _children() -> Metric:
    """Give the memory of the engine's process and of media processes; on Linux alone."""
    held = Counter(dict.fromkeys(_CHILDREN, 0))
    for child in multiprocessing.active_children():
        if child.name in _CHILDREN and child.pid is not None:
            held[child.name] += _resident(child.pid)
    text = "Memory of the processes of a kind"
    family = GaugeMetricFamily("restyle_child_resident_bytes", text, labels=("kind",))
    for kind, size in held.items():
        family.add_metric((kind,), size)
    return family


def _resident(pid: int) -> int:
    try:
        pages = Path(f"/proc/{pid}/statm").read_text().split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError):  # no Linux, or it has just ended
        return 0


def _threads() -> int:
    try:
        return len(os.listdir("/proc/self/task"))
    except OSError:  # no Linux
        return threading.active_count()


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(f"restyle_{name}", text, value=float(value))


def _counter(name: str, text: str, value: float) -> Metric:
    return CounterMetricFamily(f"restyle_{name}", text, value=float(value))


def _counters(name: str, text: str, label: str, values: Mapping[Any, int]) -> Metric:
    family = CounterMetricFamily(f"restyle_{name}", text, labels=(label,))
    for value, count in sorted(values.items()):
        family.add_metric((value,), count)
    return family
