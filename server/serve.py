"""Run the server: port, engine, link, signals."""

import asyncio
import errno
import gc
import logging
import os
import resource
import signal
import socket
import ssl
import sys
import threading
from concurrent.futures import Future
from functools import partial
from types import FrameType
from typing import Any, cast

import uvicorn
from fastapi import FastAPI

from pipeline.building import build
from pipeline.models.folder import open_folder
from pipeline.results import EngineInfo
from server.app import create_app
from server.auth import load_token
from server.connections import Connection
from server.listener import Listener
from server.logs import set_up
from server.osc import bind
from server.sessions import Sessions
from server.settings import Settings, state_folder, unknown_variables
from streams.aiortc_patches import TransportSettings, install
from streams.engine_process import EngineProcess
from streams.worker import Worker

logger = logging.getLogger(__name__)


def serve(settings: Settings) -> int:
    """Serve until told to end; give the exit status. Raises PipelineError or OSError before."""
    set_up(settings.log_level, settings.log_format)
    for each in unknown_variables():
        logger.warning("%s", each)
    config = settings.engine()
    # what cannot be used is told now, not when the first page opens
    open_folder(config)
    load_token(settings.token, state_folder())
    _check_certificate(settings)
    listener = _listen(settings)
    osc = bind(settings.osc)
    # for this process and those that it starts: a core file would hold pictures, prompts and tokens
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    install(_transport(settings))
    apart = EngineProcess(partial(build, config), _say_step) if settings.engine_process else None
    alone = partial(build, config, _say_step)
    worker = Worker(apart.start, apart.end) if apart else Worker(alone)
    app = create_app(settings, worker, _say, osc=osc)
    server = _Server(_uvicorn_config(app, settings), app, settings)
    worker.ready.add_done_callback(server.loaded)
    try:
        asyncio.run(server.serve(sockets=[listener]))
    finally:
        if apart:
            apart.end()
    return server.exit_status


def _transport(settings: Settings) -> TransportSettings:
    addresses = tuple(settings.ice_addresses) or (settings.host,)
    everywhere = addresses in (("0.0.0.0",), ("::",))  # nosec B104 - compared, not bound
    named = tuple("127.0.0.1" if a == "localhost" else a for a in addresses)
    return TransportSettings(
        ice_addresses=None if everywhere else named, behind_proxy=bool(settings.trusted_proxies)
    )


_FORCED = 130  # exit status, as after Ctrl-C
_AFTER_DRAIN, _AFTER_FORCE = 5.0, 1.5  # seconds until the process ends anyway


class _Server(uvicorn.Server):
    """uvicorn, with a drain: the first SIGTERM lets sessions leave, the second ends at once.

    Status 0 after a drain, 130 when it was cut short.
    """

    def __init__(self, config: uvicorn.Config, app: FastAPI, settings: Settings) -> None:
        super().__init__(config)
        self.exit_status = 0
        self._app, self._settings = app, settings
        self._loop: asyncio.AbstractEventLoop | None = None
        self._draining: asyncio.Task[None] | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Remember the loop: signals and the engine thread speak to it."""
        self._loop = loop = asyncio.get_running_loop()
        if self.config.is_ssl:
            # else a silent connection lasts a minute, and none counts before it speaks TLS; uvicorn
            # has no setting for it
            loop.create_server = partial(  # type: ignore[method-assign]
                loop.create_server, ssl_handshake_timeout=self._settings.header_s
            )
        await super().startup(sockets=sockets)
        # all that is loaded by now stays: each full collection that walked through it held up
        # everybody, for 80 ms where 50 are promised
        gc.collect()
        gc.freeze()

    def loaded(self, ready: "Future[EngineInfo]") -> None:
        """Print the link when the engine is ready, or end; called from the engine thread."""
        if self._loop is None or ready.cancelled():
            return
        error = ready.exception()
        if error is None:
            self._loop.call_soon_threadsafe(self._app.state.print_link)
            return
        _say(f"restyle: {error}")
        self.exit_status = 2
        self.should_exit = True

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Drain at SIGTERM; Ctrl-C, or a second signal, ends now."""
        if sig == signal.SIGTERM and self._draining is None and self._loop is not None:
            self._loop.call_soon_threadsafe(self._begin_drain)
            _end_within(self._settings.drain_s + _AFTER_DRAIN, 0)
            return
        again, self.should_exit = self.should_exit, True
        if again or self._draining is not None:
            self.force_exit, self.exit_status = True, _FORCED
            _end_within(_AFTER_FORCE, _FORCED)

    def _begin_drain(self) -> None:
        sessions: Sessions = self._app.state.context.sessions

        async def drain() -> None:
            await sessions.drain()
            self.should_exit = True

        self._draining = asyncio.get_running_loop().create_task(drain())


def _uvicorn_config(app: Any, settings: Settings) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        ws="none",
        http=cast(Any, partial(Connection, settings=settings)),  # called like a class
        h11_max_incomplete_event_size=settings.max_headers,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=5,
        ssl_certfile=settings.tls_cert,
        ssl_keyfile=settings.tls_key,
        proxy_headers=bool(settings.trusted_proxies),
        forwarded_allow_ips=settings.trusted_proxies or None,
    )


def _end_within(seconds: float, status: int) -> None:
    """End the process even if a decoder's thread, which is no daemon, or a closing hangs."""

    def end() -> None:
        os._exit(status)

    watchdog = threading.Timer(seconds, end)
    watchdog.daemon = True
    watchdog.start()


def _listen(settings: Settings) -> Listener:
    # behind a proxy all come from its address
    most = None if settings.trusted_proxies else settings.connections_per_address
    listener = Listener(settings.family, most)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((settings.host, settings.port))
    except OSError as error:
        listener.close()
        option = "--port" if error.errno in (errno.EADDRINUSE, errno.EACCES) else "--host"
        where = f"port {settings.port} on {settings.host}"
        raise OSError(f"{where}: {error.strerror}; choose another with {option}") from error
    return listener


def _check_certificate(settings: Settings) -> None:
    """Raise OSError that names the files which cannot be used."""
    if not settings.tls_cert:
        return
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(
            settings.tls_cert,
            settings.tls_key,
            password=lambda: "",  # else the terminal is asked
        )
    except (OSError, ValueError) as error:
        why = getattr(error, "reason", None) or getattr(error, "strerror", None) or error
        raise OSError(
            f"tls_cert {settings.tls_cert}, tls_key {settings.tls_key}: {why}; give PEM files that "
            "belong together, the key without a password"
        ) from error


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _say_step(step: str) -> None:
    _say(f"  {step} …")
