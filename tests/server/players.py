"""A publisher (WHIP) and a player (WHEP), played by aiortc.

python -m tests.server.players URL SESSION TOKEN: a player that prints a line for each picture
"""

import asyncio
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import av
import httpx
import pytest
import uvicorn
from aiortc import (
    MediaStreamTrack,
    RTCConfiguration,
    RTCPeerConnection,
    RTCRtpSender,
    RTCSessionDescription,
)
from fastapi import FastAPI

from tests.server.client import Camera, collect
from tests.streams.waiting import PATIENCE

SDP = {"Content-Type": "application/sdp"}


class Publisher:
    """Sends a camera the way OBS does: no data channel, no candidates, H.264 only."""

    def __init__(self) -> None:
        self.connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self.camera = Camera()

    async def offer(self) -> str:
        transceiver = self.connection.addTransceiver(self.camera, direction="sendonly")
        transceiver.setCodecPreferences(codecs("H264"))
        await self.connection.setLocalDescription(await self.connection.createOffer())
        lines = self.connection.localDescription.sdp.split("\r\n")
        kept = [x for x in lines if not x.startswith(("a=candidate", "a=end-of-candidates"))]
        return "\r\n".join(kept)

    async def publish(self, http: httpx.AsyncClient, query: str = "") -> httpx.Response:
        answer = await http.post("/whip" + query, content=await self.offer(), headers=SDP)
        if answer.status_code == 201:
            description = RTCSessionDescription(answer.text, "answer")
            await self.connection.setRemoteDescription(description)
        return answer

    async def close(self) -> None:
        await self.connection.close()


class Player:
    """Watches a session and keeps its pictures."""

    def __init__(self, codec: str = "VP8") -> None:
        self.connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self.pictures: asyncio.Queue[av.VideoFrame] = asyncio.Queue()
        self._codec = codec
        self._reading: asyncio.Task[None] | None = None
        self.connection.on("track", self._on_track)

    async def offer(self) -> str:
        transceiver = self.connection.addTransceiver("video", direction="recvonly")
        transceiver.setCodecPreferences(codecs(self._codec))
        await self.connection.setLocalDescription(await self.connection.createOffer())
        return self.connection.localDescription.sdp

    async def watch(self, http: httpx.AsyncClient, session: str, token: str) -> httpx.Response:
        headers = SDP | {"Authorization": f"Bearer {token}"}
        answer = await http.post(f"/whep/{session}", content=await self.offer(), headers=headers)
        if answer.status_code == 201:
            description = RTCSessionDescription(answer.text, "answer")
            await self.connection.setRemoteDescription(description)
        return answer

    async def levels(self, count: int) -> list[float]:
        """Give the mean grey levels of the next pictures."""
        async with asyncio.timeout(PATIENCE):
            pictures = [await self.pictures.get() for _ in range(count)]
        return [float(picture.to_ndarray(format="rgb24").mean()) for picture in pictures]

    async def shows(self, level: float) -> None:
        """Wait for a picture of this grey level: others may still be on their way."""
        async with asyncio.timeout(PATIENCE):
            while abs((await self.levels(1))[0] - level) > 8:
                pass

    async def close(self) -> None:
        await self.connection.close()
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.gather(self._reading, return_exceptions=True)

    def _on_track(self, track: MediaStreamTrack) -> None:
        self._reading = asyncio.create_task(collect(track, self.pictures))


def codecs(name: str) -> list[object]:
    return [
        codec
        for codec in RTCRtpSender.getCapabilities("video").codecs
        if codec.mimeType in (f"video/{name}", "video/rtx")
    ]


async def session_of(http: httpx.AsyncClient, answer: httpx.Response) -> dict[str, str]:
    """Wait until a published session is live; give its state."""
    return await live(http, answer.headers["location"].rpartition("/")[2])


async def live(http: httpx.AsyncClient, session: str) -> dict[str, str]:
    """Wait until a session is live, for before nobody may watch it; give its state."""
    path = f"/api/sessions/{session}"
    async with asyncio.timeout(PATIENCE):
        while (state := (await http.get(path)).json())["state"] != "live":  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    found: dict[str, str] = state
    return found


async def published(
    http: httpx.AsyncClient, publisher: asyncio.subprocess.Process, seconds: float = PATIENCE
) -> dict[str, str]:
    """Wait until the session of a program that publishes is live; fail if the program ends."""
    async with asyncio.timeout(seconds):
        while True:
            sessions = (await http.get("/api/sessions")).json()["sessions"]
            if sessions and sessions[0]["state"] == "live":
                found: dict[str, str] = sessions[0]
                return found
            if publisher.returncode is not None:
                _, said = await publisher.communicate()
                pytest.fail(f"the publisher ended: {said.decode()}")
            await asyncio.sleep(0.05)


@asynccontextmanager
async def listening(app: FastAPI) -> AsyncIterator[str]:
    """Serve a running application on a port, for clients that are programs; give its URL."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen()  # they may be there before the server
    server = uvicorn.Server(uvicorn.Config(app, lifespan="off", log_config=None, ws="none"))
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        await serving


async def _play(url: str, session: str, token: str) -> None:
    player = Player()
    async with httpx.AsyncClient(base_url=url) as http:
        answer = await player.watch(http, session, token)
    answer.raise_for_status()
    while True:
        picture = await player.pictures.get()
        sys.stdout.write(f"{picture.width}x{picture.height}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(_play(*sys.argv[1:]))
