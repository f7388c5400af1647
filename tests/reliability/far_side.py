"""A client at the other end of a bad link: sends numbered pictures, notes what comes back and when.

python -m tests.reliability.far_side URL SECONDS: prints "live" with the first picture and one line
of JSON at the end. Times are time.monotonic(), which all processes of a machine share. It does what
the page does: without pictures for some seconds it offers anew, with the resume token it was given.
"""

import argparse
import asyncio
import json
import sys
import time
from contextlib import suppress
from typing import Any

import av
import cv2
import httpx
import numpy as np
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamError, MediaStreamTrack

from streams.aiortc_patches import TransportSettings, install
from tests.bench.client import Picture, Pictures, read_stamp, stamp
from tests.bench.scenarios import webcam
from tests.e2e.serving import TOKEN

_SILENCE = 4.0  # seconds without a picture, then another offer, as in the page
_CONNECT = 8.0
_COMPARED = 10  # every tenth picture is compared with the one that was sent
STYLE = {"prompt": "ink", "seed": 7, "bypass": True}


def likeness(one: Picture, other: Picture) -> float:
    """Compute the mean structural similarity of two RGB pictures, -1 .. 1.

    Source: Wang et al., "Image quality assessment", 2004, with its Gaussian window of 11 pixels.
    """
    a, b = (cv2.cvtColor(p, cv2.COLOR_RGB2GRAY).astype(np.float64) for p in (one, other))

    def mean(values: Any) -> Any:
        return cv2.GaussianBlur(values, (11, 11), 1.5)

    first, second = mean(a), mean(b)
    spread = mean(a * a) - first**2 + mean(b * b) - second**2
    common = mean(a * b) - first * second
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    top = (2 * first * second + c1) * (2 * common + c2)
    return float(np.mean(top / ((first**2 + second**2 + c1) * (spread + c2))))


class FarSide:
    """One camera over however many connections."""

    def __init__(self, url: str) -> None:
        self._pictures = webcam(256, 60)
        self._http = httpx.AsyncClient(
            base_url=url, headers={"Authorization": f"Bearer {TOKEN}"}, timeout=3
        )
        self._resume: str | None = None
        self._at = 0.0  # when the newest picture came
        self.received: list[tuple[float, float]] = []  # when, and its age in seconds
        self.likeness: list[float] = []
        self.sessions: list[dict[str, Any]] = []

    async def run(self, seconds: float) -> None:
        """Keep a call up until so long after the first picture."""
        end = None
        while end is None or time.monotonic() < end:
            with suppress(httpx.HTTPError, TimeoutError, OSError):
                async for _ in self._call():
                    if end is None:
                        print("live", flush=True)
                        end = time.monotonic() + seconds
                    if time.monotonic() > end:
                        break
            await asyncio.sleep(0.5)
        await self._http.aclose()

    async def _call(self) -> Any:
        """Make one connection; give a sign now and then for as long as pictures come."""
        connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self._track = Pictures(self._picture)
        reading: list[asyncio.Task[None]] = []
        connection.on("track", lambda t: reading.append(asyncio.create_task(self._read(t))))
        connection.addTrack(self._track)
        try:
            await connection.setLocalDescription(await connection.createOffer())
            style = {} if self._resume else STYLE
            body = {"sdp": connection.localDescription.sdp, "type": "offer", "style": style,
                    "resume": self._resume}  # fmt: skip
            asked = time.monotonic()
            answer = await self._http.post("/api/sessions", json=body)
            answer.raise_for_status()
            made = answer.json()
            self._resume = made["resume"]
            session = {"at": asked, "id": made["id"], "style": made["style"], "first": None}
            self.sessions.append(session)
            await connection.setRemoteDescription(RTCSessionDescription(made["sdp"], "answer"))
            while True:
                await asyncio.sleep(0.05)
                if self._at >= asked:
                    session["first"] = session["first"] or self._at - asked
                    yield
                patience = _SILENCE if session["first"] else _CONNECT
                if time.monotonic() - max(self._at, asked) > patience:
                    return
        finally:
            closing = asyncio.ensure_future(connection.close())
            await asyncio.wait([closing], timeout=2)  # a broken one may never close
            for task in (closing, *reading):
                task.cancel()
            await asyncio.gather(closing, *reading, return_exceptions=True)

    def _picture(self, number: int) -> Picture:
        return stamp(self._pictures[number % len(self._pictures)], number % 65536)

    async def _read(self, track: MediaStreamTrack) -> None:
        sent = self._track
        with suppress(MediaStreamError):
            while True:
                frame = await track.recv()
                assert isinstance(frame, av.VideoFrame)
                self._at = time.monotonic()
                picture = frame.to_ndarray(format="rgb24").astype(np.uint8, copy=False)
                number = read_stamp(picture)
                left = sent.sent_at.get(number)
                if left is None:
                    self.likeness.append(0.0)  # too broken for its number to be read
                    continue
                self.received.append((self._at, self._at - left))
                if number % _COMPARED == 0:
                    self.likeness.append(likeness(picture, self._picture(number)))


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("seconds", type=float)
    given = parser.parse_args()
    install(TransportSettings(ice_addresses=None))
    far = FarSide(given.url)
    asyncio.run(far.run(given.seconds))
    json.dump(
        {"received": far.received, "likeness": far.likeness, "sessions": far.sessions}, sys.stdout
    )


if __name__ == "__main__":
    main()
