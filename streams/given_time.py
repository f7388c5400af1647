"""Time that this process was given: what must not take a slow machine for a hang counts by it."""

import threading
import time
from multiprocessing.connection import Connection

_STEP = 0.05  # seconds between two looks
_MOST = 0.06  # seconds that count of the time between two looks: what is more, others took


class GivenTime:
    """Counts seconds like time.monotonic(), without those in which others had the processor.

    A thread asks to be woken all the time; what it comes late by, everybody else here was held up
    for as well. Calling is for any thread.
    """

    def __init__(self) -> None:
        self._looked = (0.0, time.monotonic())  # seconds counted, and until when
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="given time", daemon=True)

    def start(self) -> None:
        """Begin to count."""
        self._looked = (0.0, time.monotonic())
        self._thread.start()

    def close(self) -> None:
        """End the thread; the clock stands within a moment."""
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join()

    def __call__(self) -> float:
        """Give the seconds so far; never less than before."""
        return self._at(time.monotonic())

    def _at(self, now: float) -> float:
        counted, until = self._looked  # one read: they belong together
        return counted + min(now - until, _MOST)

    def _run(self) -> None:
        while not self._ended.wait(_STEP):
            now = time.monotonic()
            self._looked = (self._at(now), now)


def arrives(pipe: Connection, seconds: float | None) -> bool:
    """Wait until there is something to receive, so many seconds of given time; None: for ever."""
    if seconds is None:
        return pipe.poll(None)
    left = seconds
    while not pipe.poll(min(left, _STEP)):
        left -= _STEP  # what was asked for, however long it took
        if left <= 0:
            return False
    return True
