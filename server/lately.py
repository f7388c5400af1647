"""How often something came from an address within the last minute."""

import time
from collections import deque
from collections.abc import Callable

_WITHIN = 60.0  # seconds
_MOST = 1000  # addresses remembered; of more the one that has been silent for longest is forgotten


class Lately:
    """Counts by address. Lives on the loop."""

    def __init__(self, most: int, clock: Callable[[], float] = time.monotonic) -> None:
        """So many a minute are enough: 1 or more."""
        self._most, self._clock = most, clock
        self._came: dict[str, deque[float]] = {}

    def wait(self, address: str) -> int:
        """Give the seconds until an address may come again; 0: now."""
        came = self._came.get(address)
        if came is None:
            return 0
        while came and came[0] <= self._clock() - _WITHIN:
            came.popleft()
        if not came:
            del self._came[address]
        if len(came) < self._most:
            return 0
        return int(came[0] + _WITHIN - self._clock()) + 1

    def note(self, address: str) -> None:
        """Count one more."""
        came = self._came.pop(address, None) or deque(maxlen=self._most)
        came.append(self._clock())
        if len(self._came) >= _MOST:
            self._came.pop(next(iter(self._came)))
        self._came[address] = came
