"""Which session takes the engine down: it is kept out, and everybody else goes on.

Where frames of several sessions were in the engine at a loss, nobody can tell whose it was. So for
a while these suspects go in one at a time, and one that is inside at another loss is the culprit.
"""

import math
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from streams.frame import SessionId

_SUSPECTED = 20.0  # seconds in the engine: rarer losses never use up its three restarts a minute
_COMES_BACK = 60.0  # seconds in which a session that was lost may come back as the same one
_CHANGES_APART = 60.0  # seconds between two changes that let a session out: each may cost a restart


@dataclass(slots=True)
class _Record:
    """What is known of a session that was in the engine at a loss."""

    until: float = math.inf  # suspected until then; without an end before it was let in again
    held: bool = False
    changed: bool = False  # its style or size, since it is held
    let_out: float = -math.inf
    left: float = math.inf  # when its session ended


class Quarantine:
    """Suspects after a loss, and sessions that are held. `holds` and `change`, `come`, `leave` and
    `clear` are for any thread, the rest is for the engine's. Times are seconds of `clock`.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._records: dict[SessionId, _Record] = {}  # empty unless the engine was lost
        self._next: SessionId | None = None  # the suspect that goes in in this turn
        self._occupied = False  # one is inside
        self._lock = threading.Lock()

    def holds(self, session: SessionId) -> bool:
        """Say whether a session's frames have to pass by the engine."""
        if session not in self._records:
            return False
        with self._lock:
            record = self._records.get(session)
            if record is None or not record.held:
                return False
            now = self._clock()
            if record.changed and now - record.let_out >= _CHANGES_APART:
                record.held, record.until, record.let_out = False, math.inf, now
            return record.held

    def lets_in(self, session: SessionId) -> bool:
        """Say whether a frame may go in now. Of suspects the first that is asked for in a turn may,
        if none is inside; the others wait.
        """
        if session not in self._records:
            return True
        with self._lock:
            record = self._records.get(session)
            if record is None or record.held:  # a held one is passed by when it is admitted
                return True
            now = self._clock()
            if now >= record.until:
                del self._records[session]
                return True
            if self._occupied or self._next not in (None, session):
                return False
            self._next = session
            record.until = min(record.until, now + _SUSPECTED)
            return True

    def turn(self, inside: Iterable[tuple[SessionId, int]]) -> None:
        """Begin to let in, given the frames that are in the engine: session and number."""
        self._next = None
        self._occupied = bool(self._records) and any(s in self._records for s, _ in inside)

    def lost(self, inside: set[SessionId]) -> SessionId | None:
        """Note that the engine was lost with frames of these inside; give whom that convicts."""
        with self._lock:
            now = self._clock()
            self._forget(now)
            again = [s for s in inside if s in self._records and now < self._records[s].until]
            if len(again) != 1:
                self._records |= {session: _Record() for session in inside}
                return None
            record = self._records[again[0]]
            record.held, record.changed = True, False
            return again[0]

    def change(self, session: SessionId) -> None:
        """Note another style or size: that lets a session out, though once a minute at most."""
        with self._lock:
            if session in self._records:
                self._records[session].changed = True

    def come(self, session: SessionId) -> None:
        """Note that a session begins; one that comes back after its loss is what it was before."""
        with self._lock:
            if session in self._records:
                self._records[session].left = math.inf

    def leave(self, session: SessionId) -> None:
        """Note that a session has ended; it is forgotten once it cannot come back any more."""
        with self._lock:
            now = self._clock()
            if session in self._records:
                self._records[session].left = now
            self._forget(now)

    def clear(self) -> None:
        """Let everybody in again."""
        with self._lock:
            self._records = {}

    def _forget(self, now: float) -> None:
        """Drop who has left for good. Needs the lock."""
        kept = {s: r for s, r in self._records.items() if now - r.left < _COMES_BACK}
        self._records = kept
