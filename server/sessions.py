"""All sessions: who is let in, deadlines, the end."""

import asyncio
import contextlib
import logging
import secrets
import time
from collections.abc import AsyncIterator, Iterator
from weakref import WeakSet

from server.aside import aside
from server.errors import ApiError
from server.half_open import giving_way
from server.joins import Joins
from server.loading import engine_if_loaded, engine_of
from server.logs import of_session
from server.past import Past
from server.resume import Identity, Lost
from server.schema.channel import Changed
from server.schema.sessions import Matte
from server.schema.style import Style, StylePatch
from server.session import Reason, Session
from server.settings import Settings
from server.style_limits import check_limits
from streams.frame import SessionId
from streams.room import OpenRoom
from streams.sources.place import Place
from streams.worker import Worker

logger = logging.getLogger(__name__)

_TICK = 0.5  # seconds between looks at deadlines, and between figures to the page
_RETRY = 3  # seconds that a refused client should wait
_HELD = (
    "The engine was lost twice with your pictures, so they pass untouched. "
    "Another style or size lets them in again."
)


class Sessions:
    """All sessions, their slots and their deadlines. Lives on the loop."""

    def __init__(self, settings: Settings, worker: Worker, open_room: OpenRoom) -> None:
        self._settings, self._worker, self._open_room = settings, worker, open_room
        self._open: dict[SessionId, Session] = {}
        self._closing: set[asyncio.Task[None]] = set()
        self._watch: asyncio.Task[None] | None = None
        self.past = Past()
        self.draining = False
        self.lost = Lost(settings.resume_s, settings.resumable)
        self._answered = WeakSet[Session]()  # those that began with an offer
        self._empty = asyncio.Event()  # while draining: the last session left
        self._joins = Joins(settings.joins_per_minute)

    def start(self) -> None:
        """Begin to watch deadlines."""
        self._watch = asyncio.create_task(self._look())

    @property
    def slots(self) -> int:
        """How many sessions are served at once: as many as each still get about 8 fps, and fit."""
        engine = engine_if_loaded(self._worker)
        if engine is None:
            return self._settings.sessions
        by_speed = max(2, min(16, int(1000 / 8 / max(engine.ms_per_frame, 1))))
        wanted = self._settings.sessions or by_speed
        return wanted if engine.places is None else min(wanted, engine.places)

    @property
    def ready(self) -> bool:
        """Say whether the engine is there and sessions are let in."""
        if self.draining or self._worker.engine_state == "failed":
            return False
        return engine_if_loaded(self._worker) is not None

    def __len__(self) -> int:
        return len(self._open)

    @property
    def closing(self) -> int:
        """Count those that are over and whose connections are not given back yet."""
        return len(self._closing)

    def __iter__(self) -> Iterator[Session]:
        return iter(list(self._open.values()))

    def get(self, session: str) -> Session:
        """Look one up by its id, or the newest one of a name. Raises ApiError 404."""
        found = self._open.get(SessionId(session))
        named = (one for one in reversed(self._open.values()) if one.name == session)
        if found is None and (found := next(named, None)) is None:
            raise ApiError("not_found", "no such session")
        return found

    def _admit(self, address: str) -> Session | None:
        """Check that one more may come; give the unfinished offer that has to end for it, if any.

        Raises ApiError 503 or 429; nothing was made then.

        Without an engine that starts again people are let in, too: frames pass untouched, and the
        page has the button that tries once more.
        """
        if self.draining:
            raise ApiError("draining", "the server is closing", _RETRY)
        engine = engine_of(self._worker)
        pending = [s for s in self._open.values() if s.phase == "connecting"]
        if sum(s.address == address for s in pending) >= self._settings.pending_per_peer:
            raise ApiError("too_many_pending", "too many unfinished offers from here", _RETRY)
        if len(pending) >= self._settings.pending:
            raise ApiError("full", "too many unfinished offers", _RETRY)
        full = len(self._open) >= self.slots
        way = self._giving_way(pending, address) if full else None
        if full and way is None:
            detail = f"all {self.slots} places are taken"
            if self.slots == engine.places:
                detail += ": the GPU's memory holds no more sessions"
            raise ApiError("full", detail, _RETRY)
        return way

    def _giving_way(self, pending: list[Session], address: str) -> Session | None:
        answered = [session for session in pending if session in self._answered]
        return giving_way(answered, address, self._settings.setup_s / 2)

    async def create(
        self,
        offer: str,
        patch: StylePatch,
        address: str,
        sends: bool = True,
        resume: str | None = None,
        matte: Matte = "none",
        identity: Identity | None = None,
    ) -> tuple[Session, str]:
        """Open a session; give it and the SDP answer. Without `sends` nothing goes back.

        `resume` brings a lost session back, also one whose loss was not noticed yet; else
        `identity` is who it is.
        Raises ApiError, MalformedOffer, OfferRefused; nothing stays open then.
        """
        check_limits(patch, self._settings)
        if resume is not None:
            self._give_up(resume)
        way = self._admit(address)
        found = None if resume is None else self.lost.take(resume)
        if found is None:  # who comes back has joined before
            self._joins.begin(address)
        if way is not None:
            self.end(way, "idle")
        identity, style = found or (identity, Style())
        style = patch.apply(style)
        session = self._make(style, address, sends, identity)
        session.control.change_matte(matte)
        try:
            async with self._begun(session, style):
                answer = await asyncio.wait_for(
                    session.room.accept(offer, sends), self._settings.setup_s
                )
        except BaseException as error:
            if found is not None and session.id not in self._open:
                self.lost.keep(session.identity, style)  # it may be tried again
            if isinstance(error, TimeoutError):
                raise ApiError("busy", "no answer to the offer in time", _RETRY) from error
            raise
        self._answered.add(session)
        return session, answer

    async def create_from(
        self,
        place: Place,
        loop: bool,
        begin: float,
        patch: StylePatch,
        address: str,
        identity: Identity | None = None,
    ) -> Session:
        """Open a session of a source on the server's side.

        Raises ApiError, SourceError; nothing stays open then.
        """
        check_limits(patch, self._settings)
        way = self._admit(address)
        self._joins.begin(address)
        if way is not None:
            self.end(way, "idle")
        style = patch.apply(Style())
        session = self._make(style, address, sends=False, identity=identity)
        async with self._begun(session, style):
            await session.open_source(place, loop, begin)
        return session

    @contextlib.asynccontextmanager
    async def _begun(self, session: Session, style: Style) -> AsyncIterator[None]:
        """Hold a place while a session is set up.

        Raises ApiError when it was ended meanwhile: 503 if its time was over, else 404.
        By then another one may have its id, so nothing goes by the id alone.
        """
        of_session(session.id)
        self._open[session.id] = session
        try:
            session.control.hint = await aside(self._worker.prepare, style.params())
            yield
        except BaseException as error:
            if self._open.get(session.id) is session:
                self._take_out(session)
            elif isinstance(error, Exception):  # what was taken away under it
                raise self._ended_early(session) from error
            raise
        if self._open.get(session.id) is not session:
            raise self._ended_early(session)
        self.past.opened += 1
        logger.info("session %s opened", session.id)

    def take_over(self, name: str) -> None:
        """Where all places are taken, end what a publisher of this name left without an end.

        OBS that crashed comes back before its old session is given up, and does not try twice.
        """
        for one in self if len(self) >= self.slots else ():
            if one.name == name and one.phase == "stalled" and one.source is None:
                self.end(one, "idle")

    def end(self, session: Session, reason: Reason) -> None:
        """End a session: its slot is free at once, the connection closes aside."""
        if self._open.get(session.id) is not session:
            return
        self.past.end(reason, session.figures())
        if reason == "idle":
            self.lost.keep(session.identity, session.control.style)
        logger.info("session %s ends: %s", session.id, reason, extra={"session": session.id})
        session.tell_end(reason)
        self._take_out(session)

    def _make(self, style: Style, address: str, sends: bool, identity: Identity | None) -> Session:
        return Session(
            self._settings, self._worker, self._open_room, style, address, self.past, sends,
            identity,
        )  # fmt: skip

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

    def _take_out(self, session: Session) -> None:
        """Free a session's place and close it aside."""
        del self._open[session.id]
        if self.draining and not self._open:
            self._empty.set()
        session.leave()
        task = asyncio.create_task(session.close())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    async def _look(self) -> None:
        while True:
            await asyncio.sleep(_TICK)
            for session in self:
                try:
                    self._look_at(session)
                except Exception:  # the others have their deadlines all the same
                    logger.exception("session %s: its figures could not be told", session.id)

    def _look_at(self, session: Session) -> None:
        reason = session.overdue()
        if reason is not None:
            self.end(session, reason)
        else:
            self._tell_quarantine(session)
            session.tell_figures()

    def _tell_quarantine(self, session: Session) -> None:
        """Tell a page why its pictures are untouched while others' are not, and when that ends.

        A change of the style puts another hint in place of this one, which then comes back.
        """
        control, held = session.control, self._worker.holds(session.id)
        if held == (control.hint == _HELD):
            return
        control.hint = _HELD if held else None
        message = Changed(style=control.style, frame=session.stats.frames_in, hint=control.hint)
        session.room.send(message.model_dump_json())

    def _ended_early(self, session: Session) -> ApiError:
        if time.monotonic() - session.started > self._settings.setup_s:
            return ApiError("busy", "the session was not set up in time", _RETRY)
        return ApiError("not_found", "the session was ended before it had begun")
