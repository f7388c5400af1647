"""How often an address may begin a session: one that comes and goes takes time from all others."""

import time
from collections.abc import Callable
from ipaddress import ip_address

from server.errors import ApiError
from server.lately import Lately


class Joins:
    """Counts the sessions that each address began in the last minute. Lives on the loop.

    Loopback is not counted: who is there could as well end the server. Behind a proxy of
    `trusted_proxies` an address is the client's own.
    """

    def __init__(self, most: int, clock: Callable[[], float] = time.monotonic) -> None:
        """Let so many in; 0: any number."""
        self._most, self._begun = most, Lately(most, clock)

    def begin(self, address: str) -> None:
        """Count one more. Raises ApiError 429 when an address has begun enough."""
        if not self._most or _is_loopback(address):
            return
        if wait := self._begun.wait(address):
            detail = f"{self._most} sessions were begun from here within a minute"
            raise ApiError("too_many_joins", detail, wait)
        self._begun.note(address)


def _is_loopback(address: str) -> bool:
    try:
        return ip_address(address).is_loopback
    except ValueError:  # a UNIX socket has none
        return False
