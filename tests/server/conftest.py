"""The real application over HTTP in memory, with an engine that inverts pictures."""

import asyncio
import io
import json
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from server import logs
from server.app import create_app
from server.settings import Settings
from streams.aiortc_patches import TransportSettings, install
from streams.worker import Worker
from tests.streams.fakes import FakeEngine
from tests.streams.waiting import PATIENCE, eventually

TOKEN = "the-main-token-of-these-tests"
_HELD = 0.5  # seconds of processor time at one go; the promise is 0.1, and clients are here, too
Serve = Callable[..., AbstractAsyncContextManager["Served"]]


class Served:
    """A running application and a client that holds its main token."""

    def __init__(self, app: FastAPI, worker: Worker, lines: list[str]) -> None:
        self.app, self.worker, self.lines = app, worker, lines
        self.http = httpx.AsyncClient(
            transport=httpx.ASGITransport(app, raise_app_exceptions=False),
            base_url="http://127.0.0.1",
            headers={"Authorization": f"Bearer {TOKEN}"},
        )

    @property
    def sessions(self) -> int:
        return len(self.app.state.context.sessions)


@asynccontextmanager
async def loop_is_never_held() -> AsyncIterator[None]:
    """Fail where the event loop computed for so long that all pictures would have stood still."""
    longest, looked = 0.0, time.thread_time()  # not the clock: others may have the processor

    def look() -> None:
        nonlocal longest, looked
        before, looked = looked, time.thread_time()
        longest = max(longest, looked - before)

    async def watch() -> None:
        while True:
            await asyncio.sleep(0.02)
            look()

    watching = asyncio.create_task(watch())
    try:
        yield
    finally:
        watching.cancel()
        look()
    assert longest <= _HELD, f"the event loop was held for {longest:.2f} s of processor time"


@pytest.fixture
def serve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Serve:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    install(TransportSettings())

    @asynccontextmanager
    async def run(
        build: Callable[[], FakeEngine] = FakeEngine, wait: bool = True, **values: object
    ) -> AsyncIterator[Served]:
        settings = Settings(**{"token": TOKEN, "sessions": 4} | values)  # type: ignore[arg-type]  # tests
        worker = Worker(build)
        lines: list[str] = []
        app = create_app(settings, worker, lines.append, client=tmp_path)
        async with app.router.lifespan_context(app):
            served = Served(app, worker, lines)
            if wait:
                worker.ready.exception(PATIENCE)
                await eventually(lambda: app.state.context.media.ready)
            try:
                async with loop_is_never_held():
                    yield served
            finally:
                await served.http.aclose()

    return run


@pytest.fixture
def logging_as_it_was() -> Iterator[None]:
    """Undo what sets real logging up."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    levels = {name: logging.getLogger(name).level for name in logs._QUIET}
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    for name, was in levels.items():
        logging.getLogger(name).setLevel(was)


@pytest.fixture
def log(logging_as_it_was: None) -> Callable[..., io.StringIO]:
    """Set real logging up, on a stream; then as it was."""

    def begin(at: str = "debug") -> io.StringIO:
        stream = io.StringIO()
        logs.set_up(at, "json", stream)
        return stream

    return begin


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    """Read what was logged."""
    return [json.loads(line) for line in stream.getvalue().splitlines()]


@pytest.fixture
async def served(serve: Serve) -> AsyncIterator[Served]:
    async with serve() as running:
        yield running
