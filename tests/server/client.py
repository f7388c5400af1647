"""A browser's part of a session, played by aiortc."""

import asyncio
import json
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

from server.client import received
from tests.streams.waiting import PATIENCE, discard


class Camera(VideoStreamTrack):
    """A grey picture, thirty times a second, until it is told to pause."""

    def __init__(self) -> None:
        super().__init__()
        self.paused = False
        self._number = 0

    async def recv(self) -> av.VideoFrame:
        while self.paused:  # noqa: ASYNC110 - a camera without pictures
            await asyncio.sleep(0.05)
        await asyncio.sleep(1 / 30)
        image = np.full((64, 64, 3), 60, np.uint8)
        frame = av.VideoFrame.from_ndarray(image, format="rgb24").reformat(format="yuv420p")
        frame.pts, frame.time_base = self._number * 3000, Fraction(1, 90000)
        self._number += 1
        return frame


async def collect(track: MediaStreamTrack, pictures: "asyncio.Queue[av.VideoFrame]") -> None:
    """Read a remote track to its end."""
    async for picture in received(track):
        assert isinstance(picture, av.VideoFrame)
        pictures.put_nowait(picture)


class Browser:
    """Connects, collects pictures and messages."""

    def __init__(self) -> None:
        self.connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self.control = self.connection.createDataChannel("control")
        self.camera = Camera()
        self.pictures: asyncio.Queue[av.VideoFrame] = asyncio.Queue()
        self.messages: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.open = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self.control.on("open", self.open.set)
        self.control.on("message", lambda text: self.messages.put_nowait(json.loads(text)))
        self.connection.on("track", self._on_track)

    async def offer(self) -> str:
        self.connection.addTrack(self.camera)
        await self.connection.setLocalDescription(await self.connection.createOffer())
        return self.connection.localDescription.sdp

    async def connect(
        self,
        http: httpx.AsyncClient,
        resume: str | None = None,
        matte: str = "none",
        **style: object,
    ) -> httpx.Response:
        body = {"sdp": await self.offer(), "type": "offer", "style": style, "resume": resume}
        answer = await http.post("/api/sessions", json=body | {"matte": matte})
        if answer.status_code == 201:
            description = RTCSessionDescription(answer.json()["sdp"], "answer")
            await self.connection.setRemoteDescription(description)
            await asyncio.wait_for(self.open.wait(), PATIENCE)
        return answer

    def say(self, **message: object) -> None:
        self.control.send(json.dumps(message))

    async def hear(self, kind: str) -> dict[str, Any]:
        """Wait for the next message of a kind."""
        async with asyncio.timeout(PATIENCE):
            while True:
                message = await self.messages.get()
                if message["type"] == kind:
                    return message

    async def picture(self) -> av.VideoFrame:
        """Give a picture that comes from now on."""
        discard(self.pictures)
        return await asyncio.wait_for(self.pictures.get(), PATIENCE)

    async def level(self) -> float:
        """Give the mean grey level of a picture that comes from now on."""
        return float((await self.picture()).to_ndarray(format="rgb24").mean())

    async def shows(self, level: float) -> None:
        """Wait for a picture of this grey level: others may still be on their way."""
        async with asyncio.timeout(PATIENCE):
            while abs(await self.level() - level) > 8:
                pass

    async def close(self) -> None:
        await self.connection.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _on_track(self, track: MediaStreamTrack) -> None:
        task = asyncio.create_task(collect(track, self.pictures))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
