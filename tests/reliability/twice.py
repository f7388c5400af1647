"""Twice as many clients as there are places: who is in notices nothing, who is not is told soon."""

import asyncio
import statistics
import time
from dataclasses import dataclass, field
from typing import Any

import httpx
import numpy as np
from aiortc import RTCSessionDescription

from tests.bench.client import Picture, Pictures
from tests.server.client import Browser
from tests.streams.waiting import PATIENCE

_FPS = 15  # of each camera: the clients are on the same cores
_WINDOW = 6.0  # seconds until the server's figures, of five, are of nothing else
_KNOCKING = 0.5  # seconds from one offer of a client without a place to its next
_EAGER = 0.05  # the same for one who knows that a place gets free


@dataclass
class Guest:
    """Somebody at a door of their own: first with an offer, then with a session."""

    http: httpx.AsyncClient
    browser: Browser = field(default_factory=Browser)
    offer: dict[str, str] = field(default_factory=dict)
    location: str = ""

    async def prepare(self) -> None:
        """Make the offer, which may be sent again and again."""
        self.browser.camera = Pictures(_grey, _FPS)  # type: ignore[assignment]  # a track as well
        self.offer = {"sdp": await self.browser.offer(), "type": "offer"}

    async def knock(self) -> httpx.Response:
        """Send the offer; with an answer of 201 the session is connected, and shows a picture."""
        answer = await self.http.post("/api/sessions", json=self.offer)
        if answer.status_code == 201:
            self.location = answer.headers["location"]
            description = RTCSessionDescription(answer.json()["sdp"], "answer")
            await self.browser.connection.setRemoteDescription(description)
            await asyncio.wait_for(self.browser.open.wait(), PATIENCE)
            await self.browser.picture()
        return answer

    async def look(self) -> dict[str, Any]:
        """Give the session's state. Raises RuntimeError with what it was told, if it is over."""
        answer = await self.http.get(self.location)
        if answer.status_code == 200:
            state: dict[str, Any] = answer.json()
            return state
        told = []
        while not self.browser.messages.empty():
            told.append(self.browser.messages.get_nowait())
        ended = [message for message in told if message["type"] == "ended"]
        raise RuntimeError(f"{answer.status_code}: a session was ended: {ended}")

    async def leave(self) -> None:
        """End the session, if there is one, and the connection."""
        if self.location:
            await self.http.delete(self.location)
        await self.browser.close()


@dataclass
class Refusals:
    """What those without a place were told, and after how many milliseconds."""

    ms: list[float] = field(default_factory=list)
    others: list[str] = field(default_factory=list)  # what was no 503 with Retry-After

    def note(self, answer: httpx.Response, seconds: float) -> None:
        """Take in one answer."""
        if answer.status_code == 503 and int(answer.headers.get("retry-after", 0)) >= 1:
            self.ms.append(1000 * seconds)
        else:
            self.others.append(f"{answer.status_code} {answer.text[:200]}")


async def twice_the_load(
    doors: list[httpx.AsyncClient], seconds: float
) -> tuple[dict[str, Any], dict[str, bool]]:
    """Fill a server that has half as many places as there are doors; the other half knocks."""
    guests = [Guest(door) for door in doors]
    places = len(guests) // 2
    inside, outside, refusals = guests[:places], guests[places:], Refusals()
    try:
        for guest in guests:
            await guest.prepare()
        for guest in inside:
            (await guest.knock()).raise_for_status()
        calm = await _figures(inside, seconds)
        knocking = [asyncio.create_task(_knock_on(guest, refusals)) for guest in outside]
        loaded = await _figures(inside, seconds)
        for task in knocking:
            task.cancel()
        await asyncio.gather(*knocking, return_exceptions=True)
        free = await _seconds_until_free(inside.pop(), outside[0], refusals)
    finally:
        for guest in guests:
            await guest.leave()
    p99 = statistics.quantiles(refusals.ms, n=100)[98] if len(refusals.ms) > 1 else 0.0
    figures = {
        "places": places,
        "refused": len(refusals.ms),
        "refused_in_ms_p99": round(p99, 1),
        "other_answers": refusals.others,
        "least_fps_out": [min(fps for fps, _ in part) for part in (calm, loaded)],
        "most_age_p95_ms": [max(age for _, age in part) for part in (calm, loaded)],
        "place_free_after_s": round(free, 2),
    }
    (fps_before, fps), (age_before, age) = figures["least_fps_out"], figures["most_age_p95_ms"]
    limits = {
        "who has no place gets 503 with Retry-After": bool(refusals.ms) and not refusals.others,
        "99 of 100 within 100 ms": p99 <= 100,
        "who has one keeps 95 % of the pictures": fps >= 0.95 * fps_before > 0,
        # the ten: those who knock are on the same cores
        "their age p95 is at most 1.2 times what it was and 10 ms": age <= 1.2 * age_before + 10,
        "a place is free again within 1 s": free <= 1,
    }
    return figures, limits


async def _knock_on(guest: Guest, refusals: Refusals) -> None:
    while True:
        began = time.monotonic()
        refusals.note(await guest.knock(), time.monotonic() - began)
        await asyncio.sleep(_KNOCKING)


async def _seconds_until_free(leaves: Guest, comes: Guest, refusals: Refusals) -> float:
    """Let one leave; give how long another, who knocks all the time, waits for its 201."""
    (await leaves.http.delete(leaves.location)).raise_for_status()
    leaves.location, began = "", time.monotonic()
    while (asked := time.monotonic()) - began < PATIENCE:
        answer = await comes.knock()
        if answer.status_code == 201:
            return asked - began
        refusals.note(answer, time.monotonic() - asked)
        await asyncio.sleep(_EAGER)
    raise TimeoutError


async def _figures(guests: list[Guest], seconds: float) -> list[tuple[float, float]]:
    """Watch for so long, and the time that the figures lag; give median fps and age p95 of each."""
    await asyncio.sleep(_WINDOW)
    seen: list[list[tuple[float, float]]] = [[] for _ in guests]
    for _ in range(max(1, round(seconds))):
        for guest, kept in zip(guests, seen, strict=True):
            stats = (await guest.look())["stats"]
            kept.append((stats["fps_out"], stats["age_ms"]["p95"] or 0.0))
        await asyncio.sleep(1)
    return [
        (statistics.median(fps for fps, _ in kept), statistics.median(age for _, age in kept))
        for kept in seen
    ]


def _grey(number: int) -> Picture:
    return np.full((64, 64, 3), 60 + number % 64, np.uint8)
