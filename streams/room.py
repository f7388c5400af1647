"""One session's connections: its own peer's, and those of who watches it.

In this process (LocalRoom) or in one that does nothing but media (media_process.RemoteRoom).
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Protocol

from aiortc import RTCIceServer

from streams.broadcast import Broadcast
from streams.frame import Restyled
from streams.hub import Hub
from streams.peer import Callbacks, Peer
from streams.sound import LipSync, SoundDesk
from streams.stats import Counts, SessionStats
from streams.viewer import Viewer


class Room(Protocol):
    """What a session asks of its connections; all on the loop but `show`."""

    sound: LipSync

    async def accept(self, offer: str, sends: bool = True) -> str:
        """Answer the session's own offer, once; without `sends` nothing goes back.

        Raises MalformedOffer, OfferRefused or MediaAway.
        """
        ...

    async def watch(self, viewer: str, offer: str, on_ended: Callable[[], None]) -> str:
        """Answer the offer of one more viewer. Raises as `accept`; `leave` then."""
        ...

    async def is_watching(self, viewer: str) -> bool:
        """Say whether a viewer is connected."""
        ...

    async def leave(self, viewer: str) -> None:
        """End a viewer; one that is not there is no error."""
        ...

    def show(self, restyled: Restyled) -> None:
        """Send a picture to all; from any thread, never waits, the newest wins."""
        ...

    def send(self, text: str) -> None:
        """Send a control message to the session's own peer, if it can take one."""
        ...

    async def close(self) -> None:
        """Close everything; takes a few seconds at most and may be called again."""
        ...


OpenRoom = Callable[[Callbacks, SessionStats], Room]


class Connections:
    """A session's connections in this process."""

    def __init__(
        self,
        callbacks: Callbacks,
        stats: Counts,
        sound: SoundDesk,
        ice_servers: Sequence[RTCIceServer] = (),
    ) -> None:
        self._hub = Hub()
        self._broadcast = Broadcast(self._hub)
        self._sound, self._ice_servers = sound, ice_servers
        self._peer = Peer(callbacks, stats, sound, ice_servers)
        self._viewers: dict[str, Viewer] = {}

    async def accept(self, offer: str, sends: bool = True) -> str:
        """Answer the session's own offer."""
        if sends:
            self._hub.add(self._peer.show)
        return await self._peer.accept(offer, sends)

    async def watch(self, viewer: str, offer: str, on_ended: Callable[[], None]) -> str:
        """Answer the offer of one more viewer."""
        watching = Viewer(self._broadcast, self._sound, on_ended, self._ice_servers)
        self._viewers[viewer] = watching
        return await watching.accept(offer)

    async def is_watching(self, viewer: str) -> bool:
        """Say whether a viewer is connected."""
        watching = self._viewers.get(viewer)
        return watching is not None and watching.connected

    async def leave(self, viewer: str) -> None:
        """End a viewer."""
        watching = self._viewers.pop(viewer, None)
        if watching is not None:
            await watching.close()

    def show(self, restyled: Restyled) -> None:
        """Send a picture to all."""
        self._hub.put(restyled)

    def send(self, text: str) -> None:
        """Send a control message to the session's own peer."""
        self._peer.send(text)

    async def close(self) -> None:
        """Close everything."""
        await asyncio.gather(self._peer.close(), *(self.leave(v) for v in list(self._viewers)))


class LocalRoom(Connections):
    """A room in this process, with its sound."""

    def __init__(
        self,
        callbacks: Callbacks,
        stats: SessionStats,
        ice_servers: Sequence[RTCIceServer] = (),
    ) -> None:
        self.sound = LipSync(stats.age)
        super().__init__(callbacks, stats, self.sound, ice_servers)
