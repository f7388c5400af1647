"""Ids of refusals: whoever is told one finds it in the log, and no flood of them fills the log.

Each refusal has a line of its own while they are few. Of a flood only some have one, and the others
are told the id of the last line of their kind, which says the same of them.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

logger = logging.getLogger(__name__)

_SAVED, _EVERY = 5, 30.0  # lines of a kind at once, and seconds until it may have another
_RARELY = 600.0  # the same of what programs meet while they wait; they get one at once
_MOST = 500  # kinds remembered


@dataclass(slots=True)
class _Kind:
    left: float  # lines that may be written now
    at: float  # when that was so
    last: str = ""  # id of the last line
    untold: int = 0  # refusals since then


class Refusals:
    """Decides which refusals have a line of their own, and writes it. On the loop only."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._kinds: dict[str, _Kind] = {}

    def note(
        self, kind: str, sentence: str, own: str, session: str = "", rarely: bool = False
    ) -> str:
        """Give the id that may be told: `own` where it stands in the log now, else the last one's.

        At level info every one has a line. `rarely`: programs try again by themselves, and people
        are told that they wait.
        """
        its = self._refilled(kind, 1 if rarely else _SAVED, _RARELY if rarely else _EVERY)
        level = logging.WARNING if its.left >= 1 else logging.INFO
        if not logger.isEnabledFor(level):
            its.untold += 1
            return its.last or own
        if level == logging.WARNING:
            its.left -= 1
        more = {"request_id": own, "session": session, "repeated": its.untold}
        logger.log(level, "%s", sentence, extra=more)
        its.last, its.untold = own, 0
        return own

    def _refilled(self, kind: str, saved: int, every: float) -> _Kind:
        now = self._clock()
        its = self._kinds.get(kind)
        if its is None:
            if len(self._kinds) >= _MOST:
                self._kinds.pop(next(iter(self._kinds)))
            its = self._kinds[kind] = _Kind(saved, now)
        its.left, its.at = min(saved, its.left + (now - its.at) / every), now
        return its
