"""One media process, as the server holds it: its link, and who waits for what."""

import asyncio
import itertools
import logging
import multiprocessing
import pickle  # nosec B403 - to a process, never from one
import socket
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from typing import Any, Protocol

from streams import media_child, media_entry
from streams.errors import MalformedOffer, MediaAway, OfferRefused, StreamError
from streams.media_child import MediaSettings
from streams.media_link import Link, Message, number, pack

logger = logging.getLogger(__name__)

_START, _SILENCE = 60.0, 3.0  # seconds until the first word, and between two
_REFUSALS: dict[str, Callable[..., StreamError]] = {
    "MalformedOffer": MalformedOffer,
    "OfferRefused": OfferRefused,
}


class Guest(Protocol):
    """Who has a place in a media process."""

    def take(self, do: str, message: Message, data: bytes) -> None:
        """Do what it says. Raises whatever nonsense breaks."""
        ...

    def lose(self) -> None:
        """Take it that the process is gone."""
        ...


class MediaProcess:
    """A process, from its start until it is lost. Lives on the loop."""

    def __init__(self, settings: MediaSettings) -> None:
        self.rooms: dict[int, Guest] = {}
        self.lag_ms = 0.0
        self._settings = settings
        self._process: BaseProcess | None = None
        self._link: Link | None = None
        self._calls = itertools.count()
        self._asked: dict[int, asyncio.Future[Any]] = {}

    async def start(self) -> None:
        """Start it and wait for its first word. Raises as `run` does."""
        ours, theirs = socket.socketpair()
        try:
            await asyncio.to_thread(self._begin, theirs)
            self._link = await Link.over(ours)
        except BaseException:
            ours.close()  # a process that is still to come ends with it
            raise
        async with asyncio.timeout(_START):
            self._take(*await self._link.receive())

    async def run(self) -> None:
        """Do what it says until it is lost.

        Raises EOFError when it has gone, TimeoutError when it hangs, and whatever it is that the
        nonsense breaks which it talks.
        """
        assert self._link is not None
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(_SILENCE) as silence:
            while True:
                self._take(*await self._link.receive())
                silence.reschedule(loop.time() + _SILENCE)

    def kill(self) -> None:
        """End the process; blocks for a moment. With its link it would end by itself."""
        if self._process is not None:
            self._process.kill()
            self._process.join()

    def lose(self) -> None:
        """Tell all who are concerned that it is gone."""
        if self._link is not None:
            self._link.close()
        for waiting in self._asked.values():
            if not waiting.done():
                waiting.set_exception(MediaAway("the media process was lost; try again"))
        rooms, self.rooms = self.rooms, {}
        for room in rooms.values():
            room.lose()

    def send(self, packed: bytes) -> None:
        """Send a message; on the loop."""
        if self._link is not None:
            self._link.send(packed)

    async def ask(self, do: str, **fields: Any) -> Any:
        """Ask and wait for the answer. Raises MediaAway, or what an offer is refused with."""
        call = next(self._calls)
        waiting = self._asked[call] = asyncio.get_running_loop().create_future()
        try:
            self.send(pack(do, call=call, **fields))
            return await waiting
        finally:
            del self._asked[call]

    def _begin(self, theirs: socket.socket) -> None:
        spawn = multiprocessing.get_context("spawn")
        self._process = spawn.Process(
            target=media_entry.run,
            args=(pickle.dumps((media_child.run, self._settings)), theirs),
            name="media",
            daemon=True,
        )
        self._process.start()
        theirs.close()

    def _take(self, message: Message, data: bytes) -> None:
        do = message.pop("do")
        if do == "alive":
            self.lag_ms = number(message["lag_ms"])
        elif do == "answer":
            self._settle(**message)
        elif (room := self.rooms.get(message.pop("room"))) is not None:
            room.take(do, message, data)

    def _settle(
        self, call: int, value: Any = None, error: str | None = None, given: tuple[str, ...] = ()
    ) -> None:
        waiting = self._asked.get(call)
        if waiting is None or waiting.done():
            return  # nobody waits any more
        if error is None:
            waiting.set_result(value)
        elif error in _REFUSALS:
            waiting.set_exception(_REFUSALS[error](*given))
        else:
            logger.error("a media process answers with %s", error)
            waiting.set_exception(MediaAway("the media process failed"))
