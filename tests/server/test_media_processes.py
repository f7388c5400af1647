"""Connections in processes of their own: the same sessions, and what a lost one takes away."""

import asyncio
import math
import os
import signal
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from streams.media_handle import MediaProcess
from streams.media_process import MediaProcesses
from tests.server.client import Browser
from tests.server.conftest import Serve, Served
from tests.server.marks import Marked, offset_of
from tests.server.players import SDP, Player, Publisher, live, session_of
from tests.streams.waiting import eventually


def media(served: Served) -> MediaProcesses:
    found: MediaProcesses = served.app.state.context.media
    return found


def pid(process: MediaProcess) -> int:
    assert process._process is not None
    assert process._process.pid is not None
    return process._process.pid


async def until_back(served: Served, count: int) -> None:
    await eventually(lambda: media(served).alive >= count)


async def come(served: Served, **given: Any) -> tuple[Browser, dict[str, Any]]:
    browser = Browser()
    answer = await browser.connect(served.http, **given)
    assert answer.status_code == 201, answer.text
    return browser, answer.json()


async def gap(browser: Browser, seconds: float) -> float:
    """Give the longest time between two pictures."""
    last, longest, end = time.monotonic(), 0.0, time.monotonic() + seconds
    while (now := time.monotonic()) < end:
        try:
            await asyncio.wait_for(browser.pictures.get(), end - now)
        except TimeoutError:
            break
        longest, last = max(longest, time.monotonic() - last), time.monotonic()
    return max(longest, time.monotonic() - last)


async def test_a_session_is_what_it_is_in_one_process(serve: Serve) -> None:
    async with serve(media_processes=1) as served:
        browser, made = await come(served, prompt="ink")
        assert abs(await browser.level() - 195) < 8
        browser.say(type="style", seq=1, style={"bypass": True})
        assert (await browser.hear("applied"))["seq"] == 1
        await browser.shows(60)
        state = (await served.http.get(f"/api/sessions/{made['id']}")).json()
        assert state["stats"]["frames_out"] > 0
        assert state["stats"]["age_ms"]["p50"] > 0

        player = Player("H264")
        seen = await player.watch(served.http, made["id"], made["viewer_token"])
        assert seen.status_code == 201
        assert abs((await player.levels(3))[-1] - 60) < 8
        left = await served.http.delete(seen.headers["location"])
        assert left.status_code == 200
        metrics = (await served.http.get("/metrics")).text
        assert "restyle_media_processes 1.0" in metrics
        await served.http.delete(f"/api/sessions/{made['id']}")
        assert (await browser.hear("ended"))["reason"] == "deleted"
        await player.close()
        await browser.close()


async def test_an_offer_that_comes_too_late_leaves_nothing_behind(serve: Serve) -> None:
    async with serve(media_processes=1) as served:
        browser, made = await come(served)
        await browser.level()
        player, address = Player(), f"/api/sessions/{made['id']}"
        offer = await player.offer()

        async def late() -> AsyncIterator[bytes]:
            await served.http.delete(address)  # the session, when who asks was let through
            [process] = media(served)._alive
            await eventually(lambda: not process.rooms)
            yield offer.encode()

        answer = await served.http.post(f"/whep/{made['id']}", content=late(), headers=SDP)

        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
        assert not media(served)._alive[0].rooms
        await player.close()
        await browser.close()


async def test_sound_leaves_beside_its_picture(serve: Serve) -> None:
    async with serve(media_processes=1) as served:
        marked = Marked()
        await marked.connect(served.http)
        await asyncio.sleep(1.5)  # the delay follows the picture slowly
        marked.seen.clear()
        lags = await marked.measure(3)
        await marked.close()
    offset, uneven = offset_of(lags)
    assert abs(offset) <= 0.045 + uneven, lags


async def test_one_that_dies_takes_its_own_sessions_and_no_others(serve: Serve) -> None:
    async with serve(media_processes=2) as served:
        await until_back(served, 2)
        first, made = await come(served, prompt="ink", seed=7)
        dying = next(process for process in media(served)._alive if process.rooms)
        second, _ = await come(served)
        assert [len(process.rooms) for process in media(served)._alive] == [1, 1]
        player = Player()
        await live(served.http, made["id"])
        seen = await player.watch(served.http, made["id"], made["viewer_token"])
        assert seen.status_code == 201
        await player.levels(1)
        await second.level()
        calm = await gap(second, 1)

        os.kill(pid(dying), signal.SIGKILL)
        assert await gap(second, 1.5) < 0.5 + 3 * calm
        await eventually(lambda: served.sessions == 1)
        again, back = await come(served, resume=made["resume"])  # the other one takes it meanwhile
        assert (back["id"], back["style"]["seed"]) == (made["id"], 7)
        assert abs(await again.level() - 195) < 8
        await until_back(served, 2)
        assert media(served).losses == 1
        for each in (first, second, again, player):
            await each.close()


async def test_one_that_hangs_is_replaced(serve: Serve) -> None:
    async with serve(media_processes=1, sessions=2) as served:
        browser, made = await come(served)
        await browser.level()
        with pytest.MonkeyPatch.context() as sooner:  # the next one has as long as any
            sooner.setattr("streams.media_handle._SILENCE", 1.5)
            os.kill(pid(media(served)._alive[0]), signal.SIGSTOP)
            await eventually(lambda: media(served).losses > 0)
        early = Browser()
        refused = await early.connect(served.http)
        assert refused.status_code in (503, 201)  # it may be back already
        if refused.status_code == 503:
            assert refused.json()["code"] == "media_away"
            assert refused.headers["retry-after"] == "1"
        await until_back(served, 1)
        again, back = await come(served, resume=made["resume"])
        assert back["id"] == made["id"]
        assert abs(await again.level() - 195) < 8
        for each in (browser, early, again):
            await each.close()


async def test_one_that_talks_nonsense_is_replaced(serve: Serve) -> None:
    async with serve(media_processes=1) as served:
        publisher = Publisher()
        await session_of(served.http, await publisher.publish(served.http))
        process = media(served)._alive[0]
        [room] = process.rooms.values()
        with pytest.raises(ValueError, match="says 'open_the_door'"):
            room.take("open_the_door", {}, b"")
        for flaw in ({"age_ms": "1"}, {"age_ms": math.inf}, {"flicker": []}):
            sent = {"age_ms": 1, "stages_ms": {}, "skipped": False, "flicker": None} | flaw
            with pytest.raises((TypeError, ValueError)):
                room.take("sent", sent, b"")
        with pytest.raises(TypeError):
            room.take("frame", {"frame": [1, 2, 3, 4, 5], "picture": {"wide": 2}}, b"")
        place = {"picture": 9, "wide": 2, "high": 1}
        with pytest.raises(ValueError, match="picture 9"):
            room.take("frame", {"frame": [1] * 5, "picture": place}, b"")
        await publisher.close()


async def test_a_bad_offer_is_refused_with_its_reason(serve: Serve) -> None:
    async with serve(media_processes=1) as served:
        body = {"sdp": "v=1\r\n", "type": "offer"}
        answer = await served.http.post("/api/sessions", json=body)
        assert (answer.status_code, answer.json()["code"]) == (400, "malformed_sdp")
        headers = {"Content-Type": "application/sdp"}
        publisher = Publisher()
        offer = (await publisher.offer()).replace("sendonly", "recvonly")
        answer = await served.http.post("/whip", content=offer, headers=headers)
        await publisher.close()
        assert (answer.status_code, answer.json()["code"]) == (422, "wrong_direction")
        assert served.sessions == 0
