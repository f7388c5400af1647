"""From the world to the engine thread: the newest frame of each session, and its style."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from pipeline.config import Size
from pipeline.params import StyleParams
from streams.frame import Frame, SessionId


@dataclass(slots=True)
class _Box:
    style: StyleParams
    size: Size | None = None  # None: the engine's own
    paired: bool = False  # frames that are marked so carry a matte
    next_number: int = 0  # one past the newest frame that was put
    since_ns: int = 0  # arrival of the first frame that has not had its turn, replaced or not
    dropped: int = 0


@dataclass(frozen=True, slots=True)
class Letter:
    """A frame that was taken, style and size in force for it, and since when its session waits."""

    session: SessionId
    frame: Frame
    style: StyleParams
    since_ns: int
    size: Size | None = None  # None: the engine's own
    paired: bool = False  # it carries a matte if it is marked so


@dataclass(slots=True)
class Mail:
    """What was taken: a frame with the style in force for it, and sessions that ended."""

    letter: Letter | None = None
    closed: list[SessionId] = field(default_factory=list)


class Mailbox:
    """Room for one frame a session.

    A live picture wants the newest frame, not every frame: a queue would turn each slow moment
    into delay that never goes away. Replacing a frame keeps the session's place in line, and the
    time since when it waits, so a fast sender neither loses its turn nor takes another's.
    """

    def __init__(self) -> None:
        self._boxes: dict[SessionId, _Box] = {}
        self._frames: dict[SessionId, Frame] = {}  # in order of who has waited longest
        self._closed: list[SessionId] = []
        self._shut = False
        self._changed = threading.Condition()

    def open(self, session: SessionId, style: StyleParams) -> None:
        """Make a box. The style is read when a frame is taken."""
        with self._changed:
            self._boxes[session] = _Box(style)

    def close(self, session: SessionId) -> None:
        """Forget a session and its waiting frame; `take` tells the engine thread."""
        with self._changed:
            if self._boxes.pop(session, None) is not None:
                self._frames.pop(session, None)
                self._closed.append(session)
                self._changed.notify()

    def close_again(self, session: SessionId) -> None:
        """Tell the engine thread once more of a session that has ended: something came after it.

        Without effect on one that is open.
        """
        with self._changed:
            if session not in self._boxes:
                self._closed.append(session)
                self._changed.notify()

    def shut(self) -> None:
        """End: `take` returns at once from now on."""
        with self._changed:
            self._shut = True
            self._changed.notify()

    @property
    def is_shut(self) -> bool:
        """Say whether `shut` was called."""
        return self._shut

    def put(self, session: SessionId, frame: Frame) -> None:
        """Leave a frame in place of the session's last; never waits. Unknown sessions are ignored:
        a decoder may hand over one more frame while its session closes.
        """
        with self._changed:
            box = self._boxes.get(session)
            if box is None:
                return
            if session in self._frames:
                box.dropped += 1
            else:
                box.since_ns = frame.arrived_ns
            box.next_number = frame.number + 1
            self._frames[session] = frame
            self._changed.notify()

    def restyle(self, session: SessionId, style: StyleParams) -> int:
        """Replace the style; give the number of the first input frame that it holds for.

        Exact, because frames are taken under the same lock: one that still waits gets it too.
        """
        with self._changed:
            box = self._boxes[session]
            box.style = style
            return self._first_to_come(session)

    def resize(self, session: SessionId, size: Size) -> int:
        """Replace the size, as `restyle` does the style."""
        with self._changed:
            self._boxes[session].size = size
            return self._first_to_come(session)

    def pair(self, session: SessionId, paired: bool) -> int:
        """Look for a matte beside the colour, or not, as `restyle` replaces the style."""
        with self._changed:
            self._boxes[session].paired = paired
            return self._first_to_come(session)

    def is_paired(self, session: SessionId) -> bool:
        """Say whether a matte is looked for. Any thread may ask; the session may have ended."""
        box = self._boxes.get(session)
        return box is not None and box.paired

    def _first_to_come(self, session: SessionId) -> int:
        waiting = self._frames.get(session)
        return self._boxes[session].next_number if waiting is None else waiting.number

    def style(self, session: SessionId) -> StyleParams | None:
        """Give the style in force; None when the session has ended."""
        box = self._boxes.get(session)
        return None if box is None else box.style

    def dropped(self, session: SessionId) -> int:
        """Count the frames that a newer one replaced before they were taken."""
        return self._boxes[session].dropped

    def take(self, timeout: float, wants: Callable[[SessionId, StyleParams], bool]) -> Mail:
        """Take the frame of the session that has waited longest of those that the engine `wants`.

        Waits up to `timeout` seconds for one. One at a time: with it the engine may be full, and
        what stays here is replaced by newer frames.
        """
        with self._changed:
            self._changed.wait_for(
                lambda: self._shut or bool(self._closed) or self._wanted(wants) is not None, timeout
            )
            mail = Mail(closed=self._closed)
            self._closed = []
            session = self._wanted(wants)
            if session is not None:
                box, frame = self._boxes[session], self._frames.pop(session)
                mail.letter = Letter(session, frame, box.style, box.since_ns, box.size, box.paired)
            return mail

    def _wanted(self, wants: Callable[[SessionId, StyleParams], bool]) -> SessionId | None:
        return next((s for s in self._frames if wants(s, self._boxes[s].style)), None)
