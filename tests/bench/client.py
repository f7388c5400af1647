"""A WebRTC peer for measurements: sends numbered pictures, notes when each comes back."""

import asyncio
import json
import time
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import av
import httpx
import numpy as np
from aiortc import (
    MediaStreamTrack,
    RTCConfiguration,
    RTCPeerConnection,
    RTCSessionDescription,
    VideoStreamTrack,
)
from numpy.typing import NDArray

Picture = NDArray[np.uint8]
_BITS, _CELL = 16, 16  # the number is drawn as 16 black or white squares of 16 px
_CLOCK = Fraction(1, 90000)


def stamp(picture: Picture, number: int) -> Picture:
    """Draw `number` into the top left corner, to be read back after lossy coding."""
    marked = picture.copy()
    for bit in range(_BITS):
        marked[:_CELL, bit * _CELL : (bit + 1) * _CELL] = 235 if number >> bit & 1 else 16
    return marked


def read_stamp(picture: Picture) -> int:
    """Read the number that `stamp` drew."""
    cells = picture[4 : _CELL - 4, : _BITS * _CELL].mean(axis=(0, 2)).reshape(_BITS, _CELL)
    return int(sum(1 << bit for bit in range(_BITS) if cells[bit, 4 : _CELL - 4].mean() > 128))


class Pictures(VideoStreamTrack):
    """Sends pictures at a steady rate; `number` counts them."""

    def __init__(self, picture_at: Callable[[int], Picture], fps: int = 30) -> None:
        super().__init__()
        self.sent_at: dict[int, float] = {}
        self._picture_at, self._fps = picture_at, fps
        self._started: float | None = None
        self._number = -1

    async def recv(self) -> av.VideoFrame:
        """Give the next picture when its time has come."""
        self._number += 1
        if self._started is None:
            self._started = time.monotonic()
        await asyncio.sleep(max(0, self._started + self._number / self._fps - time.monotonic()))
        picture = await asyncio.to_thread(self._picture_at, self._number)
        frame = await asyncio.to_thread(
            lambda: av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format="yuv420p")
        )
        frame.pts, frame.time_base = self._number * 90000 // self._fps, _CLOCK
        self.sent_at[self._number] = time.monotonic()
        return frame


class Client:
    """One session: offer, control channel, pictures that come back."""

    def __init__(self, url: str, token: str) -> None:
        self._http = httpx.AsyncClient(
            base_url=url, headers={"Authorization": f"Bearer {token}"}, timeout=20
        )
        self._connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self._control = self._connection.createDataChannel("control")
        self._open = asyncio.Event()
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._seq = 0
        self._receiver: asyncio.Task[None] | None = None
        self.location = ""
        self.received = asyncio.Event()
        self.engine: list[tuple[float, str]] = []  # when it was told which state of the engine

    async def connect(
        self,
        track: MediaStreamTrack,
        style: dict[str, object],
        on_frame: Callable[[av.VideoFrame, float], None],
    ) -> None:
        """Offer, answer, and wait until the control channel is open."""

        @self._connection.on("track")
        def _on_track(incoming: MediaStreamTrack) -> None:
            self._receiver = asyncio.create_task(self._receive(incoming, on_frame))

        self._control.on("open", self._open.set)
        self._control.on("message", self._on_message)
        self._connection.addTrack(track)
        await self._connection.setLocalDescription(await self._connection.createOffer())
        offer = self._connection.localDescription
        body = {"sdp": offer.sdp, "type": offer.type, "style": style}
        answer = await self._http.post("/api/sessions", json=body)
        answer.raise_for_status()
        self.location = answer.headers["location"]
        await self._connection.setRemoteDescription(
            RTCSessionDescription(answer.json()["sdp"], "answer")
        )
        await asyncio.wait_for(self._open.wait(), 15)

    async def restyle(self, **style: object) -> tuple[dict[str, Any], float]:
        """Change the style; give the acknowledgement and the seconds it took."""
        self._seq += 1
        answer = asyncio.get_running_loop().create_future()
        self._answers[self._seq] = answer
        sent = time.monotonic()
        self._control.send(json.dumps({"type": "style", "seq": self._seq, "style": style}))
        return await asyncio.wait_for(answer, 10), time.monotonic() - sent

    async def state(self) -> dict[str, Any]:
        """GET the session."""
        answer = await self._http.get(self.location)
        answer.raise_for_status()
        result: dict[str, Any] = answer.json()
        return result

    async def close(self) -> None:
        """DELETE the session and close the connection."""
        if self.location:
            await self._http.delete(self.location)
        await self._connection.close()
        if self._receiver is not None:
            await asyncio.gather(self._receiver, return_exceptions=True)
        await self._http.aclose()

    async def _receive(
        self, track: MediaStreamTrack, on_frame: Callable[[av.VideoFrame, float], None]
    ) -> None:
        while True:
            frame = await track.recv()
            assert isinstance(frame, av.VideoFrame)
            on_frame(frame, time.monotonic())
            self.received.set()

    def _on_message(self, text: str) -> None:
        message = json.loads(text)
        if message["type"] == "stats" and (
            not self.engine or self.engine[-1][1] != message["engine"]
        ):
            self.engine.append((time.monotonic(), message["engine"]))
        waiting = self._answers.pop(message.get("seq"), None)
        if waiting is not None and not waiting.done():
            waiting.set_result(message)
