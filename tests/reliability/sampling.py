"""A server process watched from outside: samples, growth, a plot."""

import asyncio
import gc
import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import psutil

from tests.e2e.serving import Server

PAUSE = 50.0  # milliseconds that collecting garbage may take
_UNHEARD, _AFTER = ("never retrieved", "never awaited"), 20  # lines: most of a traceback


@dataclass(frozen=True, slots=True)
class Sample:
    """One look at a process and its children."""

    at_s: float
    rss_mb: float
    fds: int
    threads: int
    age_p95_ms: float | None = None
    fps_out: float | None = None
    tasks: int | None = None  # of the server's event loop; None: it did not answer
    frames: int | None = None  # since the beginning
    gc_pause_ms: float | None = None  # the longest so far


Ages = Callable[[], Awaitable[tuple[float | None, float | None]]]


@asynccontextmanager
async def sampled(server: Server, ages: Ages | None = None) -> AsyncIterator[list[Sample]]:
    """Take a sample every second while the block runs."""
    process, samples, began = psutil.Process(server.pid), [], time.monotonic()

    async def watch() -> None:
        while True:
            age, fps = await ages() if ages else (None, None)
            tasks = await tasks_of(server)
            samples.append(look(process, time.monotonic() - began, age, fps, tasks))
            await asyncio.sleep(1)

    watching = asyncio.create_task(watch())
    try:
        yield samples
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)


def tree(process: psutil.Process) -> list[psutil.Process]:
    """Give a process and those it started."""
    return [process, *process.children(recursive=True)]


async def tasks_of(server: Server) -> int | None:
    """Count the tasks of a server's event loop; None where it does not answer now."""
    try:
        return int(await asyncio.to_thread(server.metric, "restyle_tasks"))
    except OSError:  # it is paused, or refuses this address for a minute
        return None


def unheard(server: Server) -> list[str]:
    """Find what its log says of errors and coroutines that nobody awaited, with the lines after."""
    lines = list(server.lines)
    return [
        "\n".join(lines[at : at + _AFTER])
        for at, line in enumerate(lines)
        if any(words in line for words in _UNHEARD)
    ]


def look(
    process: psutil.Process,
    at: float,
    age: float | None = None,
    fps: float | None = None,
    tasks: int | None = None,
    frames: int | None = None,
    gc_pause_ms: float | None = None,
) -> Sample:
    """Take one sample of a process and its children; raises psutil.Error when it is gone."""
    gc.collect(0)
    processes = tree(process)
    rss = sum(p.memory_info().rss for p in processes) / 1e6
    fds = sum(p.num_fds() for p in processes)
    threads = sum(p.num_threads() for p in processes)
    return Sample(round(at, 1), round(rss, 1), fds, threads, age, fps, tasks, frames, gc_pause_ms)


def settled(samples: list[Sample]) -> list[Sample]:
    """Leave the first quarter out."""
    return samples[len(samples) // 4 :]


def slope(points: list[tuple[float, float]]) -> float:
    """Give the least-squares slope of y over x; 0 of fewer than two."""
    if len(points) < 2:
        return 0.0
    return statistics.linear_regression(*zip(*points, strict=True))[0]


def growth(samples: list[Sample]) -> dict[str, Any]:
    """Give what grew between the first third of what is settled and the last one."""
    first, last = _ends(samples)
    rss = [statistics.median(s.rss_mb for s in part) for part in (first, last)]
    return {
        "rss_growth_mb": round(rss[1] - rss[0], 1),
        "fds": [first[0].fds, last[-1].fds],
        "threads": [first[0].threads, last[-1].threads],
        "tasks": [tasks(first), tasks(last)],
    }


def stands_still(grown: dict[str, Any]) -> dict[str, bool]:
    """Say of each figure of `growth` whether it may be so."""
    more = {name: grown[name][1] > grown[name][0] for name in ("fds", "threads", "tasks")}
    return {
        "rss grows by at most 30 MB": grown["rss_growth_mb"] <= 30,
        "no descriptor more": not more["fds"],
        "no thread more": not more["threads"],
        "no task more": not more["tasks"],
    }


def age_drift(samples: list[Sample]) -> float:
    """Give by how many milliseconds the age p95 rose between the same two parts."""
    first, last = (
        statistics.median(s.age_p95_ms for s in part if s.age_p95_ms is not None)
        for part in _ends(samples)
    )
    return last - first


def tasks(samples: list[Sample]) -> float:
    """Give the median count of tasks, of those samples that have one."""
    return statistics.median([s.tasks for s in samples if s.tasks is not None] or [0])


def _ends(samples: list[Sample]) -> tuple[list[Sample], list[Sample]]:
    kept = settled(samples)
    third = max(1, len(kept) // 3)
    return kept[:third], kept[-third:]


def plot(samples: list[Sample], path: Path) -> None:
    """Draw each figure over time, one under the other, as SVG."""
    width, height, names = 720, 120, [field.name for field in fields(Sample)][1:]
    lines = {
        name: [(s.at_s, v) for s in samples if (v := getattr(s, name)) is not None]
        for name in names
    }
    drawn = {name: points for name, points in lines.items() if points}
    parts, end = [], max((s.at_s for s in samples), default=1.0) or 1.0
    for row, (name, points) in enumerate(drawn.items()):
        top = max(v for _, v in points) or 1.0
        base = (row + 1) * height - 10
        line = " ".join(
            f"{10 + at / end * (width - 20):.1f},{base - v / top * 90:.1f}" for at, v in points
        )
        parts.append(
            f'<text x="10" y="{base - 95}" font-size="12">{name}, 0 to {top:g}</text>'
            f'<polyline fill="none" stroke="#06c" points="{line}"/>'
            f'<line x1="10" x2="{width - 10}" y1="{base}" y2="{base}" stroke="#999"/>'
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{len(drawn) * height}" '
        f'font-family="sans-serif">{"".join(parts)}'
        f'<text x="{width - 90}" y="12" font-size="12">{end:.0f} seconds</text></svg>\n'
    )
