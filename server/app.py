"""The web application: routes, guard, and what lives as long as it does."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from socket import socket
from typing import Any

from aiortc import RTCIceServer
from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, Response
from fastapi.staticfiles import StaticFiles

from server import errors
from server.access import Access
from server.auth import Codes, Guesses, load_token
from server.guard import Guard
from server.kept_recordings import remove_old
from server.logs import set_up
from server.osc import Osc
from server.routes import (
    engine,
    health,
    info,
    metrics,
    outputs,
    overlay,
    reference,
    sessions,
    sources,
    whep,
    whip,
)
from server.routes.context import Context
from server.sessions import Sessions
from server.settings import Settings, state_folder
from server.version import VERSION
from streams.aiortc_patches.settings import settings as transport
from streams.loop_lag import LoopLag
from streams.media_child import MediaSettings
from streams.media_process import MediaProcesses
from streams.room import LocalRoom, OpenRoom
from streams.worker import Worker

CLIENT = Path(__file__).parents[1] / "frontend" / "dist"
_LINK_EVERY = 10.0  # seconds: a page that keeps trying must not fill the terminal


def create_app(
    settings: Settings,
    worker: Worker,
    say: Callable[[str], None] = lambda line: None,
    client: Path = CLIENT,
    osc: socket | None = None,
) -> FastAPI:
    """Make the app; it starts and ends the worker. `say` prints a line for who runs it.

    `osc` is a bound UDP socket that takes style changes.
    """
    codes = Codes()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        lag = LoopLag()
        media, open_room = _media(settings)
        here = app.state.context = Context(
            settings,
            worker,
            Sessions(settings, worker, open_room),
            load_token(settings.token, state_folder()),
            codes,
            Guesses(settings.bad_tokens_per_minute),
            lag,
            media,
        )
        worker.start()
        media.start()
        here.sessions.start()
        beside = [asyncio.create_task(each) for each in (lag.watch(), *_housekeeping(settings))]
        hearing = await _hear_osc(here, osc) if osc else None
        try:
            yield
        finally:
            if hearing:
                hearing.close()
            for task in beside:
                task.cancel()
            await asyncio.gather(*beside, return_exceptions=True)
            await here.sessions.close()
            await media.close()
            await asyncio.to_thread(worker.close)

    app = FastAPI(
        title="Restyle",
        version=VERSION,
        lifespan=lifespan,
        docs_url=None,  # its page loads scripts from elsewhere
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
    )
    app.state.print_link = link_printer(settings, codes, say)
    app.state.say = say
    errors.install(app)
    for subject in (
        health, info, engine, metrics, sessions, reference, sources, outputs, whip, whep, overlay,
    ):  # fmt: skip
        app.include_router(subject.router)
    _serve_client(app, client)
    app.add_middleware(Guard, settings=settings)
    app.state.answers = Counter()
    app.add_middleware(Access, answers=app.state.answers)  # the last added is outermost
    return app


def _housekeeping(settings: Settings) -> list[Coroutine[Any, Any, None]]:
    """Give what a server does now and then for as long as it runs."""
    if settings.recordings is None or not settings.recordings_days:
        return []
    return [remove_old(settings.recordings, settings.recordings_days)]


def _media(settings: Settings) -> tuple[MediaProcesses, OpenRoom]:
    """Give the media processes, perhaps none, and what opens a session's connections."""
    ice_servers = [RTCIceServer(**s.model_dump(exclude_none=True)) for s in settings.ice_servers]
    media = MediaProcesses(
        settings.media_processes,
        MediaSettings(
            transport(), ice_servers, partial(set_up, settings.log_level, settings.log_format)
        ),
    )
    if settings.media_processes:
        return media, media.room
    return media, partial(LocalRoom, ice_servers=ice_servers)


async def _hear_osc(here: Context, osc: socket) -> asyncio.DatagramTransport:
    loop = asyncio.get_running_loop()
    make = partial(Osc, here.sessions, here.osc, here.settings)
    transport, _ = await loop.create_datagram_endpoint(make, sock=osc)
    return transport


def link_printer(
    settings: Settings, codes: Codes, say: Callable[[str], None]
) -> Callable[[], None]:
    """Make the function that prints a fresh link, now and then at most."""
    last = -_LINK_EVERY

    def print_link() -> None:
        nonlocal last
        if time.monotonic() - last >= _LINK_EVERY:
            last = time.monotonic()
            say(f"Restyle is at {settings.url}/#code={codes.new()}")

    return print_link


def _serve_client(app: FastAPI, client: Path) -> None:
    if (client / "index.html").is_file():
        # for what no route knows; mounted, it would answer 404 where a route wants another method
        page = StaticFiles(directory=client, html=True)
        app.router.default = page
        return

    @app.get("/", include_in_schema=False)
    async def not_built(request: Request) -> Response:
        return HTMLResponse(
            "<h1>Restyle</h1><p>The page is not built: run <b>make client</b>.", 503
        )
