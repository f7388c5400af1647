"""What one session is told while it lives: of quick changes the last wins, each is acknowledged."""

import asyncio
import json
import logging
import time

from pydantic import ValidationError

from pipeline.config import Size
from pipeline.errors import ConfigError
from server.aside import aside
from server.errors import ApiError, code_of, describe, new_request_id, session_ended
from server.refusals import Refusals
from server.schema.channel import (
    Applied,
    ErrorMessage,
    MatteApplied,
    MatteMessage,
    Ping,
    Pong,
    Resized,
    ServerMessage,
    SizeMessage,
    parse_client_message,
)
from server.schema.sessions import Matte
from server.schema.style import Style, StylePatch
from server.settings import Settings
from server.sizing import Sizing
from server.style_limits import check_limits
from streams.errors import EngineAway
from streams.frame import SessionId
from streams.room import Room
from streams.worker import Worker

logger = logging.getLogger(__name__)
_LONGEST = 1024  # characters of a message that came too fast and is still read for its number
_REST = 4.0  # times as long as a style took to prepare, before the same session's next one is
_MOST_REST = 0.25  # seconds


class Control:
    """Changes a session's style; the frame never waits, the old values serve until all is ready."""

    def __init__(
        self,
        session: SessionId,
        style: Style,
        size: Size,
        worker: Worker,
        settings: Settings,
    ) -> None:
        self.sizing = Sizing(session, size, worker)
        self.style = style  # in force
        self.hint: str | None = None  # what a user should know of its prompt
        self.matte: Matte = "none"
        self._session, self._worker, self._settings = session, worker, settings
        self._wanted = style
        self._waiting: list[asyncio.Future[tuple[Style, int]]] = []
        self._applying: asyncio.Task[None] | None = None
        self._rests_until = 0.0
        self._tasks: set[asyncio.Task[None]] = set()
        self._allowance = _Allowance(settings.messages_per_second)
        self._refusals = Refusals()  # its own: a page that floods takes no line from another
        self._closed = False

    async def change(self, patch: StylePatch) -> tuple[Style, int]:
        """Change the style; give what is in force then, and from which input frame on.

        Raises ApiError 404 when the session ends meanwhile, and 422 for what is left out here.
        """
        if self._closed:
            raise session_ended()
        check_limits(patch, self._settings)
        self._wanted = patch.apply(self._wanted)
        done: asyncio.Future[tuple[Style, int]] = asyncio.get_running_loop().create_future()
        self._waiting.append(done)
        if self._applying is None:
            self._applying = asyncio.create_task(self._apply())
        return await done

    def change_matte(self, matte: Matte) -> int:
        """Look for a matte beside the colour, or not; give the first input frame that is so."""
        self.matte = matte
        return self._worker.pair(self._session, matte == "side")

    def receive(self, text: str, room: Room) -> None:
        """Take a message of the data channel; answers go to its peer."""
        if not self._allowance.take():
            seq = _seq_of(text) if len(text) < _LONGEST else None
            self._refuse(room, seq, "too_fast", "too many messages")
            return
        try:
            message = parse_client_message(text)
        except ValidationError as error:
            self._refuse(room, _seq_of(text), "invalid", describe(error.errors()))
            return
        if isinstance(message, Ping):
            _send(room, Pong(seq=message.seq))
            return
        if isinstance(message, MatteMessage):
            frame = self.change_matte(message.matte)
            _send(room, MatteApplied(seq=message.seq, frame=frame, matte=message.matte))
            return
        if isinstance(message, SizeMessage):
            work = self._resize(message, room)
        else:
            work = self._acknowledge(message.seq, message.style, room)
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def close(self) -> None:
        """Stop what is under way; whoever waits is told."""
        self._closed = True
        self.sizing.close()
        self._fail(session_ended())
        for task in (*self._tasks, *filter(None, [self._applying])):
            task.cancel()

    async def _acknowledge(self, seq: int, patch: StylePatch, room: Room) -> None:
        try:
            style, frame = await self.change(patch)
        except ApiError as error:
            self._refuse(room, seq, error.code, error.detail)
            return
        except Exception:  # noqa: BLE001  # it stands in the log
            detail = "the style could not be changed; the log has more"
            self._refuse(room, seq, "internal", detail)
            return
        _send(room, Applied(seq=seq, frame=frame, style=style, hint=self.hint))

    async def _resize(self, message: SizeMessage, room: Room) -> None:
        try:
            (width, height), frame = await self.sizing.change((message.width, message.height))
        except (ConfigError, EngineAway) as error:
            self._refuse(room, message.seq, code_of(error), str(error))
        except ApiError as error:
            self._refuse(room, message.seq, error.code, error.detail)
        except Exception:
            logger.exception("session %s: a size could not be prepared", self._session)
            detail = "the size could not be changed; the log has more"
            self._refuse(room, message.seq, "internal", detail)
        else:
            _send(room, Resized(seq=message.seq, frame=frame, width=width, height=height))

    def _refuse(self, room: Room, seq: int | None, code: str, detail: str) -> None:
        """Tell the peer; of the detail, which may quote a prompt, nothing stands in the log."""
        id = self._refusals.note(
            code, f"a control message was refused: {code}", new_request_id(), self._session
        )
        _send(room, ErrorMessage(seq=seq, code=code, detail=detail, id=id))

    async def _apply(self) -> None:
        try:
            while self._waiting:
                # who sends a new prompt 60 times a second would have a core for itself, and slow
                # down what everybody sees
                await asyncio.sleep(self._rests_until - time.monotonic())
                await self._apply_once()
        except Exception as error:
            logger.exception("session %s: a style could not be prepared", self._session)
            self._wanted = self.style
            self._fail(error)
        finally:
            self._applying = None

    async def _apply_once(self) -> None:
        style = self._wanted
        waiting = list(self._waiting)
        began = time.monotonic()
        hint = await aside(self._worker.prepare, style.params())
        took = time.monotonic() - began
        self._rests_until = began + took + min(_REST * took, _MOST_REST)
        # even if a newer change came meanwhile: who drags a slider for seconds would see nothing
        frame = self._worker.restyle(self._session, style.params())
        self.style, self.hint = style, hint
        self._waiting = self._waiting[len(waiting) :]
        for done in waiting:
            if not done.done():
                done.set_result((style, frame))

    def _fail(self, error: Exception) -> None:
        """Tell all who wait that nothing comes of it."""
        waiting, self._waiting = self._waiting, []
        for done in waiting:
            if not done.done():
                done.set_exception(error)
                done.exception()  # its caller may be cancelled already: no complaint then


class _Allowance:
    """So many messages a second, saved up for one second."""

    def __init__(self, per_second: int) -> None:
        self._per_second, self._left, self._at = per_second, float(per_second), time.monotonic()

    def take(self) -> bool:
        now = time.monotonic()
        grown = self._left + (now - self._at) * self._per_second
        self._left, self._at = min(self._per_second, grown), now
        if self._left < 1:
            return False
        self._left -= 1
        return True


def _seq_of(text: str) -> int | None:
    """Give the number of a message that is wrong otherwise, so that its sender knows which."""
    try:
        message = json.loads(text)
    except (ValueError, RecursionError):
        return None
    seq = message.get("seq") if isinstance(message, dict) else None
    return seq if isinstance(seq, int) and not isinstance(seq, bool) else None


def _send(room: Room, message: ServerMessage) -> None:
    room.send(message.model_dump_json())
