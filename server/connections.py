"""One HTTP connection: deadlines for what it sends, and a cap on how many an address may have.

uvicorn waits for the rest of a request for ever, so a few silent sockets could hold everything.
"""

from typing import Any, cast

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from server.errors import new_request_id, problem
from server.settings import Settings

_RETRY = 5  # seconds that a refused client should wait


class Connection(H11Protocol):
    """uvicorn's connection. A request that comes too slowly closes it, without an answer."""

    def __init__(self, *given: Any, settings: Settings, **named: Any) -> None:
        super().__init__(*given, **named)
        self._most = settings.connections_per_address
        self._behind_proxy = bool(settings.trusted_proxies)  # then all come from its address
        self._seconds = {h11.IDLE: settings.header_s, h11.SEND_BODY: settings.body_s}
        self._phase: object = None
        self._deadline: Any = None

    def connection_made(self, transport: Any) -> None:
        """Begin to wait for a request; refuse when the address has enough connections."""
        super().connection_made(transport)
        if not self._behind_proxy and self._from_here() > self._most:
            self._refuse()
        else:
            self._watch()

    def data_received(self, data: bytes) -> None:
        """Take what came; its phase has the same deadline however often a byte comes."""
        super().data_received(data)
        self._watch()

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP; a route that waits for the rest of it has nobody to answer."""
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        super().send_400_response(msg)

    def on_response_complete(self) -> None:
        """Begin to wait for the next request."""
        super().on_response_complete()
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the deadline."""
        self._clear()
        super().connection_lost(exc)

    def _watch(self) -> None:
        """Set a deadline when the request enters another phase: headers, body, all of it there."""
        if self.conn.their_state is self._phase:
            return
        self._clear()
        self._phase = self.conn.their_state
        seconds = self._seconds.get(self._phase)
        if seconds is not None:
            self._deadline = self.loop.call_later(seconds, self.transport.abort)

    def _clear(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()

    def _from_here(self) -> int:
        address = self.client and self.client[0]
        others = (c.client for c in self.connections if isinstance(c, Connection))
        return sum(client is not None and client[0] == address for client in others)

    def _refuse(self) -> None:
        detail = f"more than {self._most} connections from here"
        app = cast(Any, self.config.app)
        request_id = app.state.refusals.note(
            "too_many_connections",
            "a connection was refused with 429: too_many_connections",
            new_request_id(),
        )
        answer = problem("too_many_connections", detail, request_id, _RETRY)
        headers = [*answer.raw_headers, (b"connection", b"close")]
        events = (
            h11.Response(status_code=answer.status_code, headers=headers),
            h11.Data(data=bytes(answer.body)),
            h11.EndOfMessage(),
        )
        self.transport.write(b"".join(self.conn.send(event) or b"" for event in events))
        self.transport.close()
