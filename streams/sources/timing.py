"""When a piece of a source is due: functions of given times, in seconds of time.monotonic()."""

import statistics
from collections import deque

_BEHIND = 0.5  # seconds that a film may be late by before its time is put back
_WINDOW = 25  # pictures, or packets, whose arrivals count; what waited at the start soon does not
_UNRELATED = 2.0  # seconds that sound is off the pictures by where the sender's times mean nothing


class FilmTime:
    """A film runs at its own pace from when it begins; one that cannot keep up runs slower."""

    def __init__(self) -> None:
        self._began: float | None = None  # when its second 0 was

    def begin(self) -> None:
        """Let the next piece be due at once, as after a jump."""
        self._began = None

    def again(self, after: float) -> None:
        """Begin anew after so many seconds of it, without a gap."""
        if self._began is not None:
            self._began += after

    def picture(self, at: float, now: float) -> float:
        """Say when a picture is due."""
        due = self.sound(at, now)
        if now - due > _BEHIND and self._began is not None:
            self._began += now - due
            return now
        return due

    def sound(self, at: float, now: float) -> float:
        """Say when sound is due."""
        if self._began is None:
            self._began = now - at
        return self._began + at


class LiveTime:
    """What is live is shown when it comes, and its sound is due with the picture of its moment."""

    def __init__(self) -> None:
        self._pictures, self._sound = _Lead(), _Lead()

    def picture(self, at: float, now: float) -> float:
        """Note that a picture came; it is due."""
        self._pictures.look(now, at)
        return now

    def sound(self, at: float, now: float) -> float | None:
        """Say when sound that came is due, also if that is past; None: no picture came yet."""
        its_own = self._sound.look(now, at)
        lead = self._pictures.seconds
        if lead is None:
            return None
        return at + (its_own if abs(its_own - lead) > _UNRELATED else lead)


class _Lead:
    """How far arrivals are ahead of a sender's clock: their median, since jitter is no time."""

    def __init__(self) -> None:
        self.seconds: float | None = None
        self._last: deque[float] = deque(maxlen=_WINDOW)

    def look(self, arrived: float, at: float) -> float:
        self._last.append(arrived - at)
        self.seconds = statistics.median(self._last)
        return self.seconds
