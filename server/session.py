"""One session: its connections, its figures, when it must end.

connecting → live ⇄ stalled → closed. Every state has a deadline.
"""

import asyncio
import contextlib
import logging
import time
from typing import Literal

from server.control import Control
from server.errors import session_ended
from server.outputs import Outputs
from server.past import Past
from server.resume import Identity
from server.schema.channel import Changed, Ended, StatsMessage
from server.schema.sessions import Percentiles, SessionState, Stats
from server.schema.style import Style, StylePatch
from server.session_source import SessionSource
from server.settings import Settings
from server.viewers import Viewers
from streams.frame import Frame, Restyled
from streams.hub import Hub
from streams.peer import Callbacks
from streams.protocol import EngineForSession
from streams.room import OpenRoom
from streams.sound import Sound
from streams.sources.place import Place
from streams.stats import SessionStats
from streams.worker import Worker

logger = logging.getLogger(__name__)
Reason = Literal["draining", "lifetime", "idle", "deleted"]

_STALLED = 2.0  # seconds without a frame


class Session:
    """One browser's place on the server, or one publisher's: it only sends (WHIP)."""

    def __init__(
        self,
        settings: Settings,
        worker: Worker,
        open_room: OpenRoom,
        style: Style,
        address: str,
        past: Past,
        sends: bool = True,
        identity: Identity | None = None,
    ) -> None:
        self.identity = identity or Identity()
        self.id, self.token = self.identity.id, self.identity.token
        self.address = address
        self.started = time.monotonic()
        self.stats = SessionStats()
        engine = worker.ready.result()  # nobody is let in before
        size = (engine.width, engine.height)
        self.control = Control(self.id, style, size, worker, settings)
        self.gone = asyncio.Event()  # the connection ended by itself
        self._settings, self._worker = settings, worker
        self._left = False
        self._told_engine: EngineForSession = "running"
        self.room = open_room(
            Callbacks(self._on_frame, self._on_message, self.gone.set), self.stats
        )
        self.hub = Hub()
        self.hub.add(self.room.show)
        if not sends:
            self.hub.add(self._count_from_thread)
        self.hub.add(self._keep)
        self.newest: Restyled | None = None  # for a snapshot
        self.source: SessionSource | None = None
        self.viewers = Viewers(settings, self.room)
        self.outputs = Outputs(settings, self.hub, self.room.sound, past.outputs)
        self._loop = asyncio.get_running_loop()
        worker.open(self.id, style.params(), self.hub.put)

    async def open_source(self, place: Place, loop: bool, begin: float) -> None:
        """Take pictures and sound from the server's side from now on.

        Raises SourceError, and ApiError 404 where the session ended while the source was opened.
        """

        def put(frame: Frame) -> None:
            with contextlib.suppress(RuntimeError):  # the loop has closed
                self._loop.call_soon_threadsafe(self.stats.came_in)
            self._worker.put(self.id, frame)

        def hear(sound: Sound) -> None:
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self.room.sound.put, sound)

        def ended() -> None:
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self.gone.set)

        source = SessionSource(put, hear, ended)
        await source.open(place, loop, begin)
        if self._left:
            await source.close()
            raise session_ended()
        self.source = source

    @property
    def name(self) -> str | None:
        """Under which name it is watched, too."""
        return self.identity.name

    @property
    def viewer_token(self) -> str:
        """What lets watch it."""
        return self.identity.viewer_token

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
        if self.stats.frames_in and now - self.stats.last_in > self._patience:
            return "idle"
        return "lifetime" if now - self.started > self._settings.session_s else None

    @property
    def _patience(self) -> float:
        """How many seconds it may be without a picture."""
        away = self.source is not None and self.source.is_away
        return self._settings.source_away_s if away else self._settings.no_media_s

    def state(self) -> SessionState:
        """Describe it."""
        width, height = self.control.sizing.size
        return SessionState(
            id=self.id, name=self.name, state=self.phase,
            engine=self._worker.engine_for(self.id), style=self.control.style,
            hint=self.control.hint, width=width, height=height, matte=self.control.matte,
            stats=self.figures(), viewers=len(self.viewers), viewer_token=self.viewer_token,
            muted=self.room.sound.muted,
            source=None if self.source is None else self.source.state(),
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
        self.room.send(message.model_dump_json())
        return style, frame

    def tell_figures(self) -> None:
        """Send its figures to the page."""
        self._told_engine = self._worker.engine_for(self.id)
        message = StatsMessage(
            state=self.phase, engine=self._told_engine, stats=self.figures(),
            outputs=self.outputs.states(),
        )  # fmt: skip
        self.room.send(message.model_dump_json())

    def tell_end(self, reason: Reason) -> None:
        """Tell the page that it ends."""
        self.room.send(Ended(reason=reason).model_dump_json())

    def leave(self) -> None:
        """Leave the engine: from now on another session may have this id."""
        self._left = True
        self.control.close()
        self._worker.close_session(self.id)

    async def close(self) -> None:
        """Give the connections back, side by side: a source may take seconds, and a recording
        has to be ended meanwhile. `leave` comes first.
        """
        closing = [self.room.close(), self.viewers.close(), self.outputs.close()]
        if self.source is not None:
            closing.append(self.source.close())
        for failure in await asyncio.gather(*closing, return_exceptions=True):
            if isinstance(failure, Exception):
                logger.error("session %s: it closed badly", self.id, exc_info=failure)

    def _on_frame(self, frame: Frame) -> None:
        if self._left:
            return  # its connection takes a moment to close
        self._worker.put(self.id, frame)
        if self._worker.engine_for(self.id) != self._told_engine:
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
        if not self._left:
            self.control.receive(text, self.room)
