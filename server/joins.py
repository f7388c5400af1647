"""How often an address may begin a session: one that comes and goes takes time from all others."""

import time
from collections import deque
from collections.abc import Callable
from ipaddress import ip_address

from server.errors import ApiError

_WITHIN = 60.0  # seconds
_MOST = 1000  # addresses remembered


class Joins:
    """Counts the sessions that each address began in the last minute. Lives on the loop.

    Loopback is not counted: who is there could as well end the server. Behind a proxy of
    `trusted_proxies` an address is the client's own.
    """

    def __init__(self, most: int, clock: Callable[[], float] = time.monotonic) -> None:
        """Let so many in; 0: any number."""
        self._most, self._clock = most, clock
        self._begun: dict[str, deque[float]] = {}

    def check(self, address: str) -> None:
        """Raise ApiError 429 when an address has begun enough."""
        begun = self._begun.get(address)
        if begun is None:
            return
        while begun and begun[0] <= self._clock() - _WITHIN:
            begun.popleft()
        if not begun:
            del self._begun[address]
        elif len(begun) >= self._most:
            wait = int(begun[0] + _WITHIN - self._clock()) + 1
            detail = f"{self._most} sessions were begun from here within a minute"
            raise ApiError("too_many_joins", detail, wait)

    def note(self, address: str) -> None:
        """Count one more."""
        if not self._most or _is_loopback(address):
            return
        if len(self._begun) >= _MOST and address not in self._begun:
            self._begun.pop(next(iter(self._begun)))
        self._begun.setdefault(address, deque(maxlen=self._most)).append(self._clock())


def _is_loopback(address: str) -> bool:
    try:
        return ip_address(address).is_loopback
    except ValueError:  # a UNIX socket has none
        return False
