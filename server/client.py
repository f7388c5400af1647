"""A Python program's way in: send pictures to a server, get them back restyled.

    async with Client("http://127.0.0.1:8000", token) as restyle:
        await restyle.connect(prompt="a pencil drawing")
        restyle.send(image)              # [h, w, 3] RGB
        shown = await restyle.receive()  # the newest one
        await restyle.change(prompt="neon lights at night")

It is a live peer like the page: the newest picture wins on both ways, and what comes too fast or
too late is dropped. For every frame of a file there is `restyle stylize`.
"""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator
from fractions import Fraction
from pathlib import Path
from typing import Any, Self

import av
import httpx
import numpy as np
from aiortc import (
    MediaStreamTrack,
    RTCConfiguration,
    RTCPeerConnection,
    RTCSessionDescription,
)
from aiortc.mediastreams import MediaStreamError
from av.frame import Frame
from numpy.typing import NDArray

from streams.convert import to_picture
from streams.outlet import Outlet, OutletClosed
from streams.sources.file import FileSource

Image = NDArray[np.uint8]  # [h, w, 3] RGB
_CLOCK = 90000  # of RTP video
_PATIENCE = 15.0  # seconds for the connection, and for an answer
_WARM_UP = 120.0  # seconds until another size must be warm


class Refused(Exception):
    """The server said no; the message is its own."""


class Client:
    """One session. Use it in `async with`, which also ends the session."""

    def __init__(
        self, url: str, token: str, transport: httpx.AsyncBaseTransport | None = None
    ) -> None:
        self._http = httpx.AsyncClient(
            base_url=url,
            headers={"Authorization": f"Bearer {token}"},
            timeout=_PATIENCE,
            transport=transport,
        )
        self._connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self._control = self._connection.createDataChannel("control")
        self._open = asyncio.Event()
        self._sent: Outlet[Image] = Outlet()
        self._received: Outlet[av.VideoFrame] = Outlet()
        self._asked = 0
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._reading: asyncio.Task[None] | None = None
        self._path = ""
        self.figures: dict[str, Any] = {}  # the newest that the server told

    async def __aenter__(self) -> Self:
        """Begin; `connect` is still to come."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """End the session and give everything back."""
        self._sent.close()
        self._received.close()
        with contextlib.suppress(httpx.HTTPError):  # the server may be gone
            if self._path:
                await self._http.delete(self._path)
        await self._connection.close()
        if self._reading is not None:
            await asyncio.gather(self._reading, return_exceptions=True)
        await self._http.aclose()

    async def connect(self, **style: object) -> None:
        """Open the session with style values (README.md). Raises Refused, TimeoutError."""
        self._control.on("open", self._open.set)
        self._control.on("message", self._on_message)
        self._connection.on("track", self._on_track)
        self._connection.addTrack(_Sent(self._sent))
        await self._connection.setLocalDescription(await self._connection.createOffer())
        offer = self._connection.localDescription
        body = {"sdp": offer.sdp, "type": offer.type, "style": style}
        answer = _checked(await self._http.post("/api/sessions", json=body)).json()
        self._path = f"/api/sessions/{answer['id']}"
        await self._connection.setRemoteDescription(RTCSessionDescription(answer["sdp"], "answer"))
        await asyncio.wait_for(self._open.wait(), _PATIENCE)

    def send(self, image: Image) -> None:
        """Send a picture in place of one that did not go yet. Raises ValueError."""
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
            raise ValueError(
                f"a picture of {image.dtype} {list(image.shape)}: send uint8 [height, width, 3] RGB"
            )
        if image.shape[0] % 2 or image.shape[1] % 2:
            raise ValueError(f"a picture of {image.shape[1]}x{image.shape[0]}: send even sides")
        self._sent.put(image)

    async def send_file(self, path: Path) -> None:
        """Send a video file at its own pace, once. Raises SourceError."""
        source = await asyncio.to_thread(FileSource, path)
        frames = iter(source)
        period = 1 / float(source.info.fps)
        began, count = time.monotonic(), 0
        try:
            while picture := await asyncio.to_thread(next, frames, None):
                self.send(await asyncio.to_thread(_rgb, picture))
                count += 1
                await asyncio.sleep(max(0.0, began + count * period - time.monotonic()))
        finally:
            source.close()

    async def film(self, path: Path) -> AsyncIterator[Image]:
        """Send a video file at its own pace, once; give what comes back until it has ended.

        Raises SourceError, OutletClosed.
        """
        sending: asyncio.Task[None] = asyncio.create_task(self.send_file(path))
        receiving: asyncio.Task[Image] | None = None
        try:
            while True:
                receiving = asyncio.create_task(self.receive())
                await asyncio.wait({sending, receiving}, return_when=asyncio.FIRST_COMPLETED)
                if not receiving.done():
                    break
                yield await receiving
            await sending
        finally:
            ending = [task for task in (sending, receiving) if task is not None]
            for task in ending:
                task.cancel()
            await asyncio.gather(*ending, return_exceptions=True)

    async def receive(self) -> Image:
        """Wait for the newest restyled picture. Raises OutletClosed when the session has ended."""
        return await asyncio.to_thread(_rgb, await self._received.get())

    async def change(self, **style: object) -> dict[str, Any]:
        """Change style values; give those in force then, and `frame`, from which on they hold.

        Raises Refused, TimeoutError.
        """
        return await self._ask(_PATIENCE, type="style", style=style)

    async def resize(self, width: int, height: int) -> dict[str, Any]:
        """Change the size of the pictures; the old one comes until the new one is warm.

        Raises Refused, TimeoutError.
        """
        return await self._ask(_WARM_UP, type="size", width=width, height=height)

    async def state(self) -> dict[str, Any]:
        """Give the session's state and live figures. Raises Refused."""
        found: dict[str, Any] = _checked(await self._http.get(self._path)).json()
        return found

    async def _ask(self, patience: float, **message: object) -> dict[str, Any]:
        self._asked += 1
        seq = self._asked
        answer = self._answers[seq] = asyncio.get_running_loop().create_future()
        try:
            self._control.send(json.dumps(message | {"seq": seq}))
            return await asyncio.wait_for(answer, patience)
        finally:
            self._answers.pop(seq, None)  # one that did not come is waited for no longer

    def _on_message(self, text: str) -> None:
        message = json.loads(text)
        if message["type"] == "stats":
            self.figures = message["stats"]
            return
        answer = self._answers.pop(message.get("seq"), None)
        if answer is None or answer.done():
            return
        if message["type"] == "error":
            answer.set_exception(Refused(message["detail"]))
        else:
            answer.set_result(message)

    def _on_track(self, track: MediaStreamTrack) -> None:
        self._reading = asyncio.create_task(self._read(track))

    async def _read(self, track: MediaStreamTrack) -> None:
        async for picture in received(track):
            assert isinstance(picture, av.VideoFrame)
            self._received.put(picture)
        self._received.close()


async def received(track: MediaStreamTrack) -> "AsyncIterator[Frame | av.Packet[Any]]":
    """Give what a track brings as it comes, until it ends."""
    while True:
        try:
            item = await track.recv()
        except MediaStreamError:
            return
        yield item


class _Sent(MediaStreamTrack):
    """Gives aiortc the newest picture, stamped with the time at which it goes."""

    kind = "video"

    def __init__(self, outlet: Outlet[Image]) -> None:
        super().__init__()
        self._outlet, self._began = outlet, time.monotonic()

    async def recv(self) -> av.VideoFrame:
        try:
            image = await self._outlet.get()
        except OutletClosed:
            self.stop()
            raise MediaStreamError from None
        picture = await asyncio.to_thread(to_picture, image)
        picture.pts = int((time.monotonic() - self._began) * _CLOCK)
        picture.time_base = Fraction(1, _CLOCK)
        return picture


def _rgb(picture: av.VideoFrame) -> Image:
    return picture.to_ndarray(format="rgb24").astype(np.uint8, copy=False)


def _checked(answer: httpx.Response) -> httpx.Response:
    if answer.is_success:
        return answer
    problem = answer.headers.get("content-type", "").startswith("application/problem+json")
    raise Refused(answer.json()["detail"] if problem else f"status {answer.status_code}")
