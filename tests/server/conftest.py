"""The real application over HTTP in memory, with an engine that inverts pictures."""

import io
import json
import logging
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
