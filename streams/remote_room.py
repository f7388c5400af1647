"""A room whose connections are in a media process."""

import asyncio
import itertools
import logging
from collections.abc import Callable, Collection
from contextlib import suppress

from streams.errors import MediaAway
from streams.frame import Restyled
from streams.media_handle import MediaProcess
from streams.media_link import (
    Message,
    Pictures,
    number,
    pack,
    with_picture,
    without_picture,
)
from streams.peer import Callbacks
from streams.sound import LipSync, Sound
from streams.stats import SessionStats

logger = logging.getLogger(__name__)

_CLOSING = 3.0  # seconds that a room may take to close
_keys = itertools.count()


class RemoteRoom:
    """A `Room` that finds its process, `find`, when it is first needed."""

    def __init__(
        self,
        find: Callable[[], MediaProcess],
        callbacks: Callbacks,
        stats: SessionStats,
    ) -> None:
        self.sound = LipSync(stats.age)
        self._find, self._callbacks, self._stats = find, callbacks, stats
        self._loop = asyncio.get_running_loop()
        self._key = next(_keys)
        self._entering: asyncio.Task[MediaProcess] | None = None
        self._process: MediaProcess | None = None
        self._come: Pictures | None = None
        self._go: Pictures | None = None
        self._accepted, self._sends, self._closed = False, False, False
        self._viewers: dict[str, Callable[[], None]] = {}
        self._stages: Collection[str] = ()  # of the newest picture

    async def accept(self, offer: str, sends: bool = True) -> str:
        """Answer the session's own offer."""
        process = await self._enter()
        self._accepted, self._sends = True, sends
        answer: str = await process.ask("accept", room=self._key, offer=offer, sends=sends)
        return answer

    async def watch(self, viewer: str, offer: str, on_ended: Callable[[], None]) -> str:
        """Answer the offer of one more viewer."""
        process = await self._enter()
        self._viewers[viewer] = on_ended
        answer: str = await process.ask("watch", room=self._key, viewer=viewer, offer=offer)
        return answer

    async def is_watching(self, viewer: str) -> bool:
        """Say whether a viewer is connected."""
        if self._process is None or viewer not in self._viewers:
            return False
        try:
            return bool(await self._process.ask("is_watching", room=self._key, viewer=viewer))
        except MediaAway:
            return False

    async def leave(self, viewer: str) -> None:
        """End a viewer."""
        if self._viewers.pop(viewer, None) is not None and self._process is not None:
            with suppress(MediaAway):
                await self._process.ask("leave", room=self._key, viewer=viewer)

    def show(self, restyled: Restyled) -> None:
        """Send a picture to all."""
        process, go = self._process, self._go
        if process is None or go is None or not (self._sends or self._viewers):
            return
        place = go.write(restyled.picture)
        if place is None:
            return
        self._stages = restyled.stages_ms.keys()
        message = pack(
            "show", room=self._key, picture=place,
            frame=without_picture(restyled.source),
            stages_ms=restyled.stages_ms, skipped=restyled.skipped, flicker=restyled.flicker,
        )  # fmt: skip
        try:
            self._loop.call_soon_threadsafe(process.send, message)
        except RuntimeError:  # the loop has closed
            self._sends = False

    def send(self, text: str) -> None:
        """Send a control message to the session's own peer."""
        if self._process is not None:
            self._process.send(pack("send", text.encode(), room=self._key))

    async def close(self) -> None:
        """Close everything."""
        if self._closed:
            return
        self._closed = True
        self.sound.remove(self._hear)
        try:
            async with asyncio.timeout(_CLOSING):
                process = self._process or (await self._entering if self._entering else None)
                if process is not None:
                    process.rooms.pop(self._key, None)
                    await process.ask("close", room=self._key)
        except (MediaAway, TimeoutError):
            logger.debug("room %d closed without its process", self._key)
        self._forget()

    def take(self, do: str, message: Message, data: bytes) -> None:
        """Do what the media process says. Raises whatever nonsense breaks."""
        if do == "frame":
            self._on_frame(**message)
        elif do == "sent":
            self._on_sent(**message)
        elif do == "sound":
            self.sound.put(Sound(int(message["pts"]), number(message["arrived"]), data))
        elif do == "message":
            self._callbacks.on_message(data.decode(errors="replace"))
        elif do == "ended":
            self._callbacks.on_ended()
        elif do == "viewer_ended":
            self._end(message["viewer"])
        else:
            raise ValueError(f"a media process says {do!r}")

    def lose(self) -> None:
        """Take it that the process is gone: who was connected there is so no more."""
        self._forget()
        for viewer in list(self._viewers):
            self._end(viewer)
        if self._accepted and not self._closed:
            self._callbacks.on_ended()

    def _end(self, viewer: str) -> None:
        on_ended = self._viewers.get(viewer)
        if on_ended is not None:
            on_ended()

    def _on_frame(self, frame: list[int], picture: Message) -> None:
        if self._come is None or (shown := self._come.read(**picture)) is None:
            return
        self._stats.came_in()
        self._callbacks.on_frame(with_picture(frame, shown))

    def _on_sent(
        self, age_ms: float, stages_ms: dict[str, float], skipped: bool, flicker: float | None
    ) -> None:
        self._stats.went_out(
            number(age_ms),
            {name: number(stages_ms[name]) for name in self._stages if name in stages_ms},
            bool(skipped),
            None if flicker is None else number(flicker),
        )

    async def _enter(self) -> MediaProcess:
        """Give its process, and take a place there first if it has none."""
        if self._process is not None:
            return self._process
        if self._entering is None or self._entering.done():
            self._entering = asyncio.create_task(self._take_place())
        # who gives up waiting does not end it: the other side holds the memory
        return await asyncio.shield(self._entering)

    async def _take_place(self) -> MediaProcess:
        process = self._find()
        process.rooms[self._key] = self
        come, go = Pictures(), Pictures()
        try:
            await process.ask("open", room=self._key, come=come.name, go=go.name)
            if self._key not in process.rooms:
                raise MediaAway("the media process was lost; try again")
        except MediaAway:
            come.close()
            go.close()
            raise
        finally:
            come.forget_name()
            go.forget_name()
        self._come, self._go, self._process = come, go, process
        if not self._closed:
            self.sound.add(self._hear)
        return process

    def _forget(self) -> None:
        self.sound.remove(self._hear)
        for pictures in (self._come, self._go):
            if pictures is not None:
                pictures.close()
        self._come = self._go = self._process = None

    def _hear(self, sound: Sound) -> None:
        if self._process is not None:
            packed = pack("hear", sound.data, room=self._key, pts=sound.pts, arrived=sound.arrived)
            self._process.send(packed)
