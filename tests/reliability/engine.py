"""G6: the engine's process is killed and frozen under a session that is being watched."""

import asyncio
import itertools
import os
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from tests.bench.client import Client, Pictures
from tests.bench.scenarios import webcam
from tests.e2e.serving import TOKEN, Server, free_port
from tests.reliability.sampling import Sample, sampled

Verdict = tuple[dict[str, Any], dict[str, bool], list[Sample]]
_SPACING = 25.0  # seconds between two losses: not so many within a minute that the breaker opens


class Watched:
    """A styled session: when its pictures came, and what it was told of the engine."""

    def __init__(self, server: Server) -> None:
        self.client = Client(server.url, TOKEN)
        self.pictures: list[float] = []

    async def begin(self) -> None:
        """Connect and wait for the first picture."""
        clip = webcam(256, 30)
        track = Pictures(lambda number: clip[number % len(clip)])
        await self.client.connect(
            track, {"prompt": "a pencil drawing"}, lambda _, at: self.pictures.append(at)
        )
        await asyncio.wait_for(self.client.received.wait(), 30)

    def gap_after(self, at: float, until: float) -> float:
        """Give the longest time without a picture that began after `at`, or held then."""
        times = [t for t in self.pictures if t <= until]
        before = max((t for t in times if t <= at), default=at)
        marks = [before, *(t for t in times if t > at), until]
        return max(later - one for one, later in itertools.pairwise(marks))

    async def told(self, state: str, since: float, patience: float) -> float:
        """Wait until the page would know; give the seconds since then."""
        async with asyncio.timeout(patience):
            while True:
                for at, engine in self.client.engine:
                    if at > since and (
                        engine == state or (state == "away" and engine != "running")
                    ):
                        return at - since
                await asyncio.sleep(0.02)


async def engine(server: Server, seconds: float) -> Verdict:
    """Kill and freeze the engine's process in turn for so long; then open the breaker."""
    watched, losses = Watched(server), []
    await watched.begin()
    await asyncio.sleep(5)
    async with sampled(server) as samples:
        end = time.monotonic() + seconds
        for how in (signal.SIGKILL, signal.SIGSTOP) * 100:
            losses.append(await _lose(server, watched, how))
            print(losses[-1], file=sys.stderr)
            if time.monotonic() > end:
                break
            await asyncio.sleep(_SPACING)
        gave_up, revived = await _open_breaker(server, watched)
    await watched.client.close()
    worst = {key: max(loss[key] for loss in losses) for key in ("gap_s", "told_s", "back_s")}
    figures = {"losses": losses, "worst": worst, "gave_up": gave_up, "revived_s": revived}
    limits = {
        "untouched pictures within 500 ms": worst["gap_s"] <= 0.5,
        "the page knows within 500 ms": worst["told_s"] <= 0.5,
        "the engine is back within 10 s": worst["back_s"] <= 10,
        "too many losses within a minute are final": gave_up,
        "a person starts it again": revived is not None,
        "the session lives": (await _phases(server)) == [],
    }
    return figures, limits, samples


async def _lose(server: Server, watched: Watched, how: int) -> dict[str, Any]:
    began = time.monotonic()
    os.kill(_child(server), how)
    told = await watched.told("away", began, 10)
    back = await watched.told("running", began + told, 120)
    gap = watched.gap_after(began, began + told + back)
    return {
        "how": signal.Signals(how).name, "gap_s": round(gap, 2), "told_s": round(told, 2),
        "back_s": round(told + back, 2),
    }  # fmt: skip


async def _open_breaker(server: Server, watched: Watched) -> tuple[bool, float | None]:
    """Kill it again and again, also while it loads; then ask for it as a person does."""
    end = time.monotonic() + 60
    while watched.client.engine[-1][1] != "failed":
        if time.monotonic() > end:
            return False, None
        with suppress(StopIteration, psutil.NoSuchProcess, ProcessLookupError):
            os.kill(_child(server), signal.SIGKILL)
        await asyncio.sleep(0.5)
    asked = time.monotonic()
    await asyncio.to_thread(server.api, "POST", "/api/engine/restart")
    return True, round(await watched.told("running", asked, 120), 2)


def _child(server: Server) -> int:
    """Find the engine's process; its helper tracks shared memory and is none."""
    children = psutil.Process(server.pid).children()
    return next(c.pid for c in children if any("spawn_main" in part for part in c.cmdline()))


async def _phases(server: Server) -> list[str]:
    """List the sessions that are left: none, after the watched one was closed."""
    found = await asyncio.to_thread(server.api, "GET", "/api/sessions")
    return [one["state"] for one in found["sessions"]]


def start(state: Path) -> Server:
    """Start a server whose engine has a process of its own."""
    server = Server(free_port(), state=state)
    try:
        server.wait_ready(300)
    except BaseException:
        server.stop()
        raise
    return server
