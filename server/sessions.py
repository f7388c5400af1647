"""A session's life: connecting → live ⇄ stalled → closed. Every state has a deadline."""

import asyncio
import contextlib
import logging
import secrets
import time
from collections.abc import Iterator
from typing import Literal

from aiortc import RTCIceServer

from server.control import Control
from server.errors import ApiError
from server.logs import of_session
from server.outputs import Outputs
from server.past import Past
from server.resume import Identity, Lost
from server.schema import (
    Changed,
    Ended,
    Matte,
    Percentiles,
    SessionState,
    Stats,
    StatsMessage,
    Style,
    StylePatch,
)
from server.settings import Settings
from server.viewers import Viewers
from streams.frame import Frame, Restyled, SessionId
from streams.hub import Hub
from streams.peer import Callbacks, Peer
from streams.protocol import EngineState
from streams.sources.server import Place, ServerSource
from streams.stats import SessionStats
from streams.worker import Worker

logger = logging.getLogger(__name__)
Reason = Literal["draining", "lifetime", "idle", "deleted", "engine_failed"]

_TICK = 0.5  # seconds between looks at deadlines, and between figures to the page
_STALLED = 2.0  # seconds without a frame
_RETRY = 3  # seconds that a refused client should wait


class Session:
    """One browser's place on the server, or one publisher's: it only sends (WHIP)."""

    def __init__(
        self,
        settings: Settings,
        worker: Worker,
        style: Style,
        address: str,
        sends: bool = True,
        identity: Identity | None = None,
    ) -> None:
        self.identity = identity or Identity()
        self.id, self.token = self.identity.id, self.identity.token
        self.viewer_token = self.identity.viewer_token
        self.address = address
        self.started = time.monotonic()
        self.stats = SessionStats()
        engine = worker.ready.result()  # nobody is let in before
        size = (engine.width, engine.height)
        self.control = Control(self.id, style, size, worker, settings.messages_per_second)
        self.gone = asyncio.Event()  # the connection ended by itself
        self._settings, self._worker = settings, worker
        self._left = False
        self._told_engine: EngineState = "running"
        self.peer = Peer(
            Callbacks(self._on_frame, self._on_message, self.gone.set),
            self.stats,
            [RTCIceServer(**s.model_dump(exclude_none=True)) for s in settings.ice_servers],
        )
        self.hub = Hub()
        self.hub.add(self.peer.show if sends else self._count_from_thread)
        self.hub.add(self._keep)
        self.newest: Restyled | None = None  # for a snapshot
        self.source: ServerSource | None = None
        self.viewers = Viewers(settings, self.hub, self.peer.sound)
        self.outputs = Outputs(settings, self.hub)
        self._loop = asyncio.get_running_loop()
        worker.open(self.id, style.params(), self.hub.put)

    async def open_source(self, place: Place) -> None:
        """Take pictures from the server's side from now on. Raises SourceError."""

        def put(frame: Frame) -> None:
            with contextlib.suppress(RuntimeError):  # the loop has closed
                self._loop.call_soon_threadsafe(self.stats.came_in)
            self._worker.put(self.id, frame)

        def ended() -> None:
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self.gone.set)

        self.source = await asyncio.to_thread(ServerSource, place, put, ended)
        self.source.start()

    @property
    def phase(self) -> Literal["connecting", "live", "stalled", "closed"]:
        """What it is doing, for people."""
        if self.gone.is_set():
            return "closed"
        if not self.stats.frames_in:
            return "connecting"
        return "live" if time.monotonic() - self.stats.last_in < _STALLED else "stalled"

    def overdue(self) -> Reason | None:
        """Say why it must end now, if it must."""
        now = time.monotonic()
        if self.gone.is_set():
            return "idle"
        if not self.stats.frames_in and now - self.started > self._settings.setup_s:
            return "idle"
        if self.stats.frames_in and now - self.stats.last_in > self._settings.no_media_s:
            return "idle"
        return "lifetime" if now - self.started > self._settings.session_s else None

    def state(self) -> SessionState:
        """Describe it."""
        width, height = self.control.sizing.size
        return SessionState(
            id=self.id, state=self.phase, style=self.control.style, hint=self.control.hint,
            width=width, height=height, matte=self.control.matte, stats=self.figures(),
            viewers=len(self.viewers), viewer_token=self.viewer_token, muted=self.peer.sound.muted,
        )  # fmt: skip

    def figures(self) -> Stats:
        """Give its live figures."""
        now = self.stats.figures()
        return Stats(
            fps_in=now.fps_in,
            fps_out=now.fps_out,
            frames_in=now.frames_in,
            frames_out=now.frames_out,
            skipped=now.skipped,
            dropped=self._worker.dropped(self.id),
            age_ms=Percentiles(p50=now.age_p50_ms, p95=now.age_p95_ms),
            stages_ms=now.stages_ms,
            flicker=now.flicker,
        )

    async def change_from_elsewhere(self, patch: StylePatch) -> tuple[Style, int]:
        """Change the style for somebody who is not its page, and tell the page."""
        style, frame = await self.control.change(patch)
        message = Changed(style=style, frame=frame, hint=self.control.hint)
        self.peer.send(message.model_dump_json())
        return style, frame

    def tell_figures(self) -> None:
        """Send its figures to the page."""
        self._told_engine = self._worker.engine_state
        message = StatsMessage(
            state=self.phase, engine=self._told_engine, stats=self.figures(),
            outputs=self.outputs.states(),
        )  # fmt: skip
        self.peer.send(message.model_dump_json())

    def tell_end(self, reason: Reason) -> None:
        """Tell the page that it ends."""
        self.peer.send(Ended(reason=reason).model_dump_json())

    def leave(self) -> None:
        """Leave the engine: from now on another session may have this id."""
        self._left = True
        self.control.close()
        self._worker.close_session(self.id)

    async def close(self) -> None:
        """Give the connections back; `leave` comes first."""
        if self.source is not None:
            await asyncio.to_thread(self.source.close)
        await asyncio.gather(self.peer.close(), self.viewers.close(), self.outputs.close())

    def _on_frame(self, frame: Frame) -> None:
        if self._left:
            return  # its connection takes a moment to close
        self._worker.put(self.id, frame)
        if self._worker.engine_state != self._told_engine:
            self.tell_figures()  # a person should know at once why the picture is untouched

    def _keep(self, restyled: Restyled) -> None:
        self.newest = restyled

    def _count_from_thread(self, restyled: Restyled) -> None:
        """Count a picture where no track of the publisher's own does."""
        with contextlib.suppress(RuntimeError):  # the loop has closed
            self._loop.call_soon_threadsafe(self._count, restyled)

    def _count(self, restyled: Restyled) -> None:
        age_ms = (time.monotonic_ns() - restyled.source.arrived_ns) / 1e6
        self.stats.went_out(age_ms, restyled.stages_ms, restyled.skipped)

    def _on_message(self, text: str) -> None:
        self.control.receive(text, self.peer)


class Sessions:
    """All sessions, their slots and their deadlines. Lives on the loop."""

    def __init__(self, settings: Settings, worker: Worker) -> None:
        self._settings, self._worker = settings, worker
        self._open: dict[SessionId, Session] = {}
        self._closing: set[asyncio.Task[None]] = set()
        self._watch: asyncio.Task[None] | None = None
        self.past = Past()
        self.draining = False
        self.lost = Lost(settings.resume_s, settings.resumable)
        self._empty = asyncio.Event()  # while draining: the last session left

    def start(self) -> None:
        """Begin to watch deadlines."""
        self._watch = asyncio.create_task(self._look())

    @property
    def slots(self) -> int:
        """How many sessions are served at once: as many as each still get about 8 fps, and fit."""
        if not self.ready:
            return self._settings.sessions
        engine = self._worker.ready.result()
        by_speed = max(2, min(16, int(1000 / 8 / max(engine.ms_per_frame, 1))))
        wanted = self._settings.sessions or by_speed
        return wanted if engine.places is None else min(wanted, engine.places)

    @property
    def ready(self) -> bool:
        """Say whether the engine is there and sessions are let in."""
        loaded = self._worker.ready
        if self.draining or self._worker.engine_state == "failed":
            return False
        return loaded.done() and loaded.exception() is None

    def __len__(self) -> int:
        return len(self._open)

    def __iter__(self) -> Iterator[Session]:
        return iter(list(self._open.values()))

    def get(self, session: str) -> Session:
        """Look one up. Raises ApiError 404."""
        found = self._open.get(SessionId(session))
        if found is None:
            raise ApiError("not_found", "no such session")
        return found

    def admit(self, address: str) -> None:
        """Check that one more may come. Raises ApiError 503 or 429; nothing was made then."""
        if self.draining:
            raise ApiError("draining", "the server is closing", _RETRY)
        loaded = self._worker.ready
        if not loaded.done():
            raise ApiError("loading", "the model is loading", _RETRY)
        if loaded.exception() is not None:
            raise ApiError("engine_failed", "the model could not be loaded", 60)
        if len(self._open) >= self.slots:
            detail = f"all {self.slots} places are taken"
            if self.slots == loaded.result().places:
                detail += ": the GPU's memory holds no more sessions"
            raise ApiError("full", detail, _RETRY)
        pending = [s for s in self._open.values() if s.phase == "connecting"]
        if sum(s.address == address for s in pending) >= self._settings.pending_per_peer:
            raise ApiError("too_many_pending", "too many unfinished offers from here", _RETRY)
        if len(pending) >= self._settings.pending:
            raise ApiError("full", "too many unfinished offers", _RETRY)

    async def create(
        self,
        offer: str,
        patch: StylePatch,
        address: str,
        sends: bool = True,
        resume: str | None = None,
        matte: Matte = "none",
    ) -> tuple[Session, str]:
        """Open a session; give it and the SDP answer. Without `sends` nothing goes back.

        `resume` brings a lost session back, also one whose loss was not noticed yet.
        Raises ApiError, MalformedOffer, OfferRefused; nothing stays open then.
        """
        if resume is not None:
            self._give_up(resume)
        self.admit(address)
        found = None if resume is None else self.lost.take(resume)
        identity, style = found or (None, Style())
        style = patch.apply(style)
        session = Session(self._settings, self._worker, style, address, sends, identity)
        session.control.change_matte(matte)
        of_session(session.id)
        self._open[session.id] = session
        try:
            session.control.hint = await asyncio.to_thread(self._worker.prepare, style.params())
            answer = await asyncio.wait_for(
                session.peer.accept(offer, sends), self._settings.setup_s
            )
        except BaseException as error:
            self._open.pop(session.id, None)
            self._close_aside(session)
            if identity is not None:
                self.lost.keep(identity, style)  # it may be tried again
            if isinstance(error, TimeoutError):
                raise ApiError("busy", "no answer to the offer in time", _RETRY) from error
            raise
        self.past.opened += 1
        logger.info("session %s opened", session.id)
        return session, answer

    async def create_from(self, place: Place, style: Style, address: str) -> Session:
        """Open a session of a source on the server's side.

        Raises ApiError, SourceError; nothing stays open then.
        """
        self.admit(address)
        session = Session(self._settings, self._worker, style, address, sends=False)
        of_session(session.id)
        self._open[session.id] = session
        try:
            session.control.hint = await asyncio.to_thread(self._worker.prepare, style.params())
            await session.open_source(place)
        except BaseException:
            self._open.pop(session.id, None)
            self._close_aside(session)
            raise
        self.past.opened += 1
        logger.info("session %s opened", session.id)
        return session

    def end(self, session: Session, reason: Reason) -> None:
        """End a session: its slot is free at once, the connection closes aside."""
        if self._open.pop(session.id, None) is None:
            return
        self.past.end(reason, session.figures())
        if reason == "idle":
            self.lost.keep(session.identity, session.control.style)
        logger.info("session %s ends: %s", session.id, reason, extra={"session": session.id})
        session.tell_end(reason)
        self._close_aside(session)
        if self.draining and not self._open:
            self._empty.set()

    def _give_up(self, resume: str) -> None:
        """End the session that is to be brought back, if it is still open: its peer left it."""
        for session in self:
            if secrets.compare_digest(session.identity.resume.encode(), resume.encode()):
                self.end(session, "idle")

    async def drain(self) -> None:
        """Let nobody in, tell everyone, give them time to leave."""
        self.draining = True
        for session in self:
            session.tell_end("draining")
        if not self._open:
            self._empty.set()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._empty.wait(), self._settings.drain_s)

    async def close(self) -> None:
        """End every session and wait until all is given back."""
        self.draining = True
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.gather(self._watch, return_exceptions=True)
        for session in self:
            self.end(session, "draining")
        await asyncio.gather(*self._closing, return_exceptions=True)

    def _close_aside(self, session: Session) -> None:
        session.leave()
        task = asyncio.create_task(session.close())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    async def _look(self) -> None:
        while True:
            await asyncio.sleep(_TICK)
            for session in self:
                reason = session.overdue()
                if reason is not None:
                    self.end(session, reason)
                else:
                    session.tell_figures()
