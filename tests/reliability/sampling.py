"""A server process watched from outside: samples, growth, a plot."""

import asyncio
import gc
import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from tests.e2e.serving import Server

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
) -> Sample:
    """Take one sample of a process and its children; raises psutil.Error when it is gone."""
    gc.collect(0)
    processes = tree(process)
    rss = sum(p.memory_info().rss for p in processes) / 1e6
    fds = sum(p.num_fds() for p in processes)
    threads = sum(p.num_threads() for p in processes)
    return Sample(round(at, 1), round(rss, 1), fds, threads, age, fps, tasks)


def slope_per_hour(samples: list[Sample]) -> float:
    """Give the least-squares slope of the memory in MB an hour, without the first quarter."""
    kept = samples[len(samples) // 4 :]
    return statistics.linear_regression([s.at_s for s in kept], [s.rss_mb for s in kept])[0] * 3600


def plot(samples: list[Sample], path: Path) -> None:
    """Draw each figure over time, one under the other, as SVG."""
    width, height, names = 720, 120, ("rss_mb", "fds", "threads", "tasks", "age_p95_ms", "fps_out")
    parts, end = [], max((s.at_s for s in samples), default=1.0) or 1.0
    for row, name in enumerate(names):
        points = [(s.at_s, v) for s in samples if (v := asdict(s)[name]) is not None]
        top = max((v for _, v in points), default=1.0) or 1.0
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
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{len(names) * height}" '
        f'font-family="sans-serif">{"".join(parts)}'
        f'<text x="{width - 90}" y="12" font-size="12">{end:.0f} seconds</text></svg>\n'
    )
