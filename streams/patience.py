"""How long a call of the engine may take before frames pass by it."""

import math
import time
from collections import deque
from collections.abc import Callable
from statistics import median

_LEAST = 0.4  # seconds
_SLOW = 4  # … or the time of so many frames, where a model is slower
_USUAL, _BUSIEST = 15, 1.5  # … or of four calls usual now, of the last so many; seconds at most


class Patience:
    """Times calls. `is_over` and `allow` are for any thread, the rest for the one that calls.

    `clock` gives seconds: GivenTime, where a machine that is merely slow must not look like a hang.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._least = _LEAST
        self._calls: deque[float] = deque(maxlen=_USUAL)  # seconds that the last ones took
        self._usual = 0.0  # seconds
        self._since = math.inf  # of the clock, at which the call under way began

    def allow(self, seconds: float) -> None:
        """Take it that a frame needs so long; never less than before."""
        self._least = max(self._least, _SLOW * seconds)

    def begin(self) -> None:
        """Note that a call begins now."""
        self._since = self._clock()

    def learn(self) -> None:
        """Note that a network call is done: what it took is usual now."""
        self._calls.append(self._clock() - self._since)
        self._usual = median(self._calls)

    def rest(self) -> None:
        """Note that nothing is under way."""
        self._since = math.inf

    @property
    def is_over(self) -> bool:
        """Say whether the call under way takes too long."""
        patience = max(self._least, min(_SLOW * self._usual, _BUSIEST))
        return self._clock() - self._since > patience
