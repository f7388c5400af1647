"""Who watches a session over WHEP."""

import asyncio
import secrets

from aiortc import RTCIceServer

from server.errors import ApiError
from server.settings import Settings
from streams.broadcast import Broadcast
from streams.hub import Hub
from streams.sound import LipSync
from streams.viewer import Viewer

_RETRY = 3  # seconds that a refused viewer should wait


class Viewers:
    """The viewers of one session. Lives on the loop."""

    def __init__(self, settings: Settings, hub: Hub, sound: LipSync) -> None:
        self._settings, self._sound = settings, sound
        self._broadcast = Broadcast(hub)
        self._open: dict[str, Viewer] = {}
        self._closing: set[asyncio.Task[None]] = set()
        self._closed = False

    def __len__(self) -> int:
        return len(self._open)

    async def join(self, offer: str) -> tuple[str, str]:
        """Let one more watch; give its id and the SDP answer.

        Raises ApiError 503, MalformedOffer, OfferRefused; nothing stays open then.
        """
        most = self._settings.viewers
        if len(self._open) >= most:
            raise ApiError("full", f"all {most} viewers' places of this session are taken", _RETRY)
        id = secrets.token_urlsafe(16)
        viewer = self._open[id] = Viewer(
            self._broadcast,
            self._sound,
            lambda: self._close_aside(id),
            [RTCIceServer(**s.model_dump(exclude_none=True)) for s in self._settings.ice_servers],
        )
        try:
            answer = await asyncio.wait_for(viewer.accept(offer), self._settings.setup_s)
        except BaseException as error:
            self._close_aside(id)
            if isinstance(error, TimeoutError):
                raise ApiError("busy", "no answer to the offer in time", _RETRY) from error
            raise
        if self._closed:
            self._close_aside(id)
            raise ApiError("not_found", "no such session")
        asyncio.get_running_loop().call_later(self._settings.setup_s, self._expect, id)
        return id, answer

    def end(self, id: str) -> None:
        """End a viewer; its place is free at once. Raises ApiError 404."""
        if id not in self._open:
            raise ApiError("not_found", "no such viewer")
        self._close_aside(id)

    async def close(self) -> None:
        """End every viewer and wait until all is given back."""
        self._closed = True
        for id in list(self._open):
            self._close_aside(id)
        await asyncio.gather(*self._closing, return_exceptions=True)

    def _expect(self, id: str) -> None:
        """End a viewer that has not connected in time."""
        viewer = self._open.get(id)
        if viewer is not None and not viewer.connected:
            self._close_aside(id)

    def _close_aside(self, id: str) -> None:
        viewer = self._open.pop(id, None)
        if viewer is not None:
            task = asyncio.create_task(viewer.close())
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)
