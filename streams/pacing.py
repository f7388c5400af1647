"""When an output frame is sent, and when one is tried again: functions of given times."""

_MOST = 0.05  # seconds; a longer wait would be delay, not smoothness
_JUMP = 10.0  # seconds; a longer step is another clock, not a pause
_STEP = 1 / 30  # seconds that stand for a step that says nothing
_SHORTEST, _LONGEST = 1.0, 30.0  # seconds between tries (reliability.md G14)


def hold(previous_sent: float, previous_pts: float, ready: float, pts: float) -> float:
    """Say how many seconds to hold a frame that is ready, so that two never go out in a burst.

    Frames keep at least half the distance that their input had. A steady stream is never held;
    after a stall the next frame goes out at once, so delay cannot build up. All in seconds.
    """
    apart = min(max(0.0, pts - previous_pts) / 2, _MOST)
    return min(max(0.0, previous_sent + apart - ready), _MOST)


class Elapsed:
    """Seconds since the first picture by the clock of its source, always rising.

    Pauses stay what they were. A clock that jumps, as of a camera that was changed, goes on a
    frame later.
    """

    def __init__(self) -> None:
        self._last: float | None = None
        self._seconds = 0.0

    def at(self, pts: float) -> float:
        """Take a picture's time, in seconds of its source; give the seconds since the first."""
        if self._last is not None:
            step = pts - self._last
            self._seconds += step if 0 < step < _JUMP else _STEP
        self._last = pts
        return self._seconds


def backoff(failures: int, chance: float) -> float:
    """Say how many seconds to wait after so many failures in a row, 1 or more.

    Doubles from 1 to 30 s; `chance` (0 .. 1) takes up to half of it away, so that outputs that
    fell together do not come back together.
    """
    longest = min(_LONGEST, _SHORTEST * 2.0 ** min(failures - 1, 16))
    return max(_SHORTEST, longest * (1 - chance / 2))
