"""The other side of media_process.py: what runs in a process that does nothing but media."""

import asyncio
import logging
import os
import socket
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any

from aiortc import RTCIceServer

from streams import sandbox, signals
from streams.aiortc_patches import TransportSettings, install
from streams.errors import OfferRefused
from streams.frame import Frame, Restyled
from streams.loop_lag import LoopLag
from streams.media_link import Link, Message, Pictures, pack, with_picture, without_picture
from streams.peer import Callbacks
from streams.room import Connections
from streams.sound import Sound, SoundDesk

logger = logging.getLogger(__name__)

_ALIVE_EVERY = 0.5  # seconds
_ENDING = 2.0  # seconds that rooms get to close when the server has gone


@dataclass(frozen=True)
class MediaSettings:
    """What a media process runs with; it is pickled."""

    transport: TransportSettings
    ice_servers: Sequence[RTCIceServer] = ()
    set_up: Callable[[], object] = lambda: None  # of logging


def run(settings: MediaSettings, end: socket.socket) -> None:
    """Hold connections until the server's end closes."""
    signals.leave_to_the_parent()
    settings.set_up()
    install(settings.transport)
    if sandbox.lacking:
        logger.warning("a media process runs without %s here", " and ".join(sandbox.lacking))
    asyncio.run(_serve(settings, end))
    os._exit(0)  # a decoder's thread, which is no daemon, may hang


async def _serve(settings: MediaSettings, end: socket.socket) -> None:
    link = await Link.over(end)
    desk = _Desk(link, settings.ice_servers)
    lag = LoopLag()
    beside = [asyncio.create_task(lag.watch()), asyncio.create_task(_say_alive(link, lag))]
    try:
        while True:
            message, data = await link.receive()
            desk.take(message, data)
    except EOFError:
        await asyncio.wait([asyncio.create_task(desk.close()), *beside], timeout=_ENDING)


async def _say_alive(link: Link, lag: LoopLag) -> None:
    while True:
        link.send(pack("alive", lag_ms=lag.p99_ms()))
        await asyncio.sleep(_ALIVE_EVERY)


class _Desk:
    """Does what the server asks."""

    def __init__(self, link: Link, ice_servers: Sequence[RTCIceServer]) -> None:
        self._link, self._ice_servers = link, ice_servers
        self._seats: dict[int, _Seat] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def take(self, message: Message, data: bytes) -> None:
        """Do one thing; what takes its time is answered later."""
        do, room, call = message.pop("do"), message.pop("room"), message.pop("call", None)
        if do == "open":
            come, go = Pictures(message.pop("come")), Pictures(message.pop("go"))
            self._seats[room] = _Seat(room, self._link, self._ice_servers, come, go)
        seat = self._seats.get(room)
        if seat is None:  # it was closed meanwhile
            if call is not None:
                self._link.send(pack("answer", call=call))
            return
        if do == "close":
            del self._seats[room]
        if call is None:
            getattr(seat, do)(data=data, **message)
            return
        task = asyncio.create_task(self._answer(call, getattr(seat, do)(**message)))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Close every room."""
        await asyncio.gather(*(seat.close() for seat in self._seats.values()))

    async def _answer(self, call: int, work: Coroutine[Any, Any, str | bool | None]) -> None:
        try:
            told: Message = {"value": await work}
        except Exception as error:  # noqa: BLE001  # told to the server
            told = {"error": type(error).__name__, "given": [str(each) for each in _given(error)]}
        self._link.send(pack("answer", call=call, **told))


class _Seat(SoundDesk):
    """One room here, told to the server what happens in it. It is its counts and its sound, too."""

    def __init__(
        self,
        room: int,
        link: Link,
        ice_servers: Sequence[RTCIceServer],
        come: Pictures,
        go: Pictures,
    ) -> None:
        super().__init__()
        self._room, self._link = room, link
        self._come, self._go = come, go
        self._connections = Connections(
            Callbacks(self._on_frame, self._on_message, lambda: self._tell("ended")),
            self,
            self,
            ice_servers,
        )

    async def open(self) -> None:
        """Say that it is there: both sides hold the memory."""

    async def accept(self, offer: str, sends: bool) -> str:
        return await self._connections.accept(offer, sends)

    async def watch(self, viewer: str, offer: str) -> str:
        return await self._connections.watch(
            viewer, offer, lambda: self._tell("viewer_ended", viewer=viewer)
        )

    async def is_watching(self, viewer: str) -> bool:
        return await self._connections.is_watching(viewer)

    async def leave(self, viewer: str) -> None:
        await self._connections.leave(viewer)

    async def close(self) -> None:
        await self._connections.close()
        self._come.close()
        self._go.close()

    def show(
        self,
        data: bytes,
        frame: list[int],
        picture: Message,
        stages_ms: dict[str, float],
        skipped: bool,
        flicker: float | None,
    ) -> None:
        shown = self._go.read(**picture)
        if shown is None:
            return  # a newer one comes
        source = with_picture(frame, shown)
        self._connections.show(Restyled(source, shown, stages_ms, skipped, flicker))

    def send(self, data: bytes) -> None:
        self._connections.send(data.decode())

    def hear(self, data: bytes, pts: int, arrived: float) -> None:
        self._hand_out(Sound(pts, arrived, data))

    def _on_frame(self, frame: Frame) -> None:
        place = self._come.write(frame.picture)
        if place is not None:
            self._tell("frame", frame=without_picture(frame), picture=place)

    def _on_message(self, text: str) -> None:
        self._tell("message", text.encode())

    def _tell(self, do: str, data: bytes = b"", **fields: Any) -> None:
        self._link.send(pack(do, data, room=self._room, **fields))

    # what a peer asks of its counts

    def came_in(self) -> None:
        """Nothing: the server counts the frames that reach it."""

    def went_out(
        self,
        age_ms: float,
        stages_ms: dict[str, float],
        skipped: bool = False,
        flicker: float | None = None,
    ) -> None:
        self._tell("sent", age_ms=age_ms, stages_ms=stages_ms, skipped=skipped, flicker=flicker)

    # what peers and viewers ask of their sound: the server holds it until it is due

    def put(self, sound: Sound) -> None:
        self._tell("sound", sound.data, pts=sound.pts, arrived=sound.arrived)


def _given(error: Exception) -> tuple[Any, ...]:
    return (error.code, error.detail) if isinstance(error, OfferRefused) else error.args
