"""The server's port: of one address only so many connections are open, TLS handshakes included.

A connection that speaks no TLS yet is none for uvicorn, so `connections.py` does not see it.
"""

import socket
from typing import Any
from weakref import WeakKeyDictionary

from server.errors import new_request_id
from server.refusals import Refusals

_TOLD = 8  # more of an address, so that some hear why they are refused; the next is cut unheard


class Listener(socket.socket):
    """A listening socket of TCP that knows what it accepted for as long as that is open."""

    def __init__(self, family: socket.AddressFamily, most: int | None) -> None:
        """`most` connections of an address are served (connections.py); None: any number."""
        # asyncio sends small answers at once (TCP_NODELAY) only where the protocol is named:
        # without, each waited 40 ms for the other side's acknowledgement
        super().__init__(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        self._most = most
        self._accepted: WeakKeyDictionary[socket.socket, str] = WeakKeyDictionary()
        self._refusals = Refusals()

    def accept(self) -> tuple[socket.socket, Any]:
        """Accept one. Raises ConnectionAbortedError for one too many: asyncio passes over it."""
        connection, address = super().accept()
        if self._most is not None and self._open_from(address[0]) >= self._most + _TOLD:
            connection.close()
            cut = "too_many_connections"
            self._refusals.note(cut, f"a connection was cut: {cut}", new_request_id())
            raise ConnectionAbortedError
        self._accepted[connection] = address[0]
        return connection, address

    def _open_from(self, address: str) -> int:
        return sum(
            its == address and connection.fileno() >= 0
            for connection, its in self._accepted.items()
        )
