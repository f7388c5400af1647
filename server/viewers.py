"""Who watches a session over WHEP."""

import asyncio
import secrets
from collections.abc import Coroutine
from typing import Any

from server.errors import ApiError, session_ended
from server.settings import Settings
from streams.room import Room

_RETRY = 3  # seconds that a refused viewer should wait


class Viewers:
    """The viewers of one session. Lives on the loop."""

    def __init__(self, settings: Settings, room: Room) -> None:
        self._settings, self._room = settings, room
        self._open: set[str] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False

    def __len__(self) -> int:
        return len(self._open)

    async def join(self, offer: str) -> tuple[str, str]:
        """Let one more watch; give its id and the SDP answer.

        Raises ApiError 404 or 503, MalformedOffer, OfferRefused; nothing stays open then.
        """
        if self._closed:  # while the offer came
            raise session_ended()
        most = self._settings.viewers
        if len(self._open) >= most:
            raise ApiError("full", f"all {most} viewers' places of this session are taken", _RETRY)
        id = secrets.token_urlsafe(16)
        self._open.add(id)
        try:
            watching = self._room.watch(id, offer, lambda: self._close_aside(id))
            answer = await asyncio.wait_for(watching, self._settings.setup_s)
        except BaseException as error:
            self._close_aside(id)
            if isinstance(error, TimeoutError):
                raise ApiError("busy", "no answer to the offer in time", _RETRY) from error
            raise
        if self._closed:
            self._close_aside(id)
            raise session_ended()
        loop = asyncio.get_running_loop()
        loop.call_later(self._settings.setup_s, lambda: self._aside(self._expect(id)))
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
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _expect(self, id: str) -> None:
        """End a viewer that has not connected in time."""
        if id in self._open and not await self._room.is_watching(id):
            self._close_aside(id)

    def _close_aside(self, id: str) -> None:
        if id in self._open:
            self._open.remove(id)
            self._aside(self._room.leave(id))

    def _aside(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
