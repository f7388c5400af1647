"""A line between an output and its server that is late, narrow, stands still or breaks."""

import asyncio
import math
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

_ROOM = 4096  # bytes that lie on the line, in each direction


class SlowNetwork:
    """A TCP proxy on loopback in front of a port. What it does may change at any time."""

    def __init__(self, behind: int) -> None:
        self.late = 0.0  # seconds that each piece takes
        self.rate = math.inf  # bytes a second
        self.connections = 0  # so far
        self._behind = behind
        self._flows = asyncio.Event()
        self._flows.set()
        self._open: set[asyncio.StreamWriter] = set()  # towards those who called
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _ROOM)
        self._socket.bind(("127.0.0.1", 0))

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._socket.getsockname()[1])

    def stand_still(self) -> None:
        """Take nothing more, and end nothing."""
        self._flows.clear()

    def flow(self) -> None:
        """Take everything again, at once."""
        self.late, self.rate = 0.0, math.inf
        self._flows.set()

    def half_close(self) -> None:
        """Say that the server has no more to say; what is sent to it still arrives."""
        for caller in self._open:
            caller.write_eof()

    def cut(self) -> None:
        """End every connection at once."""
        for caller in self._open:
            caller.transport.abort()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Serve as long as the block."""
        server = await asyncio.start_server(self._pass_on, sock=self._socket, limit=_ROOM)
        try:
            yield
        finally:
            self.flow()
            self.cut()
            server.close()
            await server.wait_closed()
            while self._open:  # noqa: ASYNC110 - each ends by itself
                await asyncio.sleep(0.01)

    async def _pass_on(self, caller: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._open.add(back)
        try:
            answers, there = await asyncio.open_connection("127.0.0.1", self._behind, limit=_ROOM)
        except OSError:
            self._end(back)
            return
        answering = asyncio.create_task(self._pump(answers, back))
        await self._pump(caller, there)
        there.close()
        await answering
        self._end(back)

    async def _pump(self, source: asyncio.StreamReader, to: asyncio.StreamWriter) -> None:
        with suppress(OSError, RuntimeError):  # it was cut, or half closed
            while data := await source.read(_ROOM):
                await self._flows.wait()
                await asyncio.sleep(self.late + len(data) / self.rate)
                to.write(data)
                await to.drain()

    def _end(self, back: asyncio.StreamWriter) -> None:
        back.close()
        self._open.discard(back)


@asynccontextmanager
async def slow_network(behind: int) -> AsyncIterator[SlowNetwork]:
    """Lead to a port as long as the block."""
    network = SlowNetwork(behind)
    async with network.running():
        yield network
