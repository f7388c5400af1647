"""How late the event loop is: the one figure that shows blocking calls."""

import asyncio
from collections import deque

_EVERY = 0.02  # seconds
_KEPT = 3000  # looks: one minute


class LoopLag:
    """Looks at the clock fifty times a second and notes how much later than asked it woke."""

    def __init__(self) -> None:
        self._late_ms: deque[float] = deque(maxlen=_KEPT)

    def p99_ms(self) -> float:
        """Give the 99th percentile of the last minute."""
        ordered = sorted(self._late_ms)
        return round(ordered[int(0.99 * (len(ordered) - 1))], 2) if ordered else 0.0

    def max_ms(self) -> float:
        """Give the longest of the last minute."""
        return round(max(self._late_ms, default=0.0), 2)

    async def watch(self) -> None:
        """Run until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + _EVERY
            await asyncio.sleep(_EVERY)
            self._late_ms.append((loop.time() - due) * 1000)
