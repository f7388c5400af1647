"""How often a session may change its size: making one ready takes time from everybody."""

import asyncio
import itertools
import threading
import time

import pytest

from pipeline.config import Size
from streams.frame import SessionId
from tests.server.client import Browser
from tests.server.conftest import Served
from tests.streams.waiting import PATIENCE


async def test_the_size_changes_twice_a_second_at_most_and_what_waits_is_limited(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    browser = Browser()
    location = (await browser.connect(served.http)).headers["location"]
    made = []
    prepare = served.worker.prepare_size

    def note(session: SessionId, size: Size) -> None:
        made.append(time.monotonic())
        prepare(session, size)

    monkeypatch.setattr(served.worker, "prepare_size", note)
    asked, wait = 40, 16
    for seq in range(asked):
        browser.say(type="size", seq=seq, width=(256, 320)[seq % 2], height=256)
    told = [await browser.hear("error") for _ in range(asked - wait)]
    assert {message["code"] for message in told} == {"too_fast"}
    sizes = [(await browser.hear("resized"))["width"] for _ in range(wait)]
    put = await served.http.put(f"{location}/size", json={"width": 512, "height": 256})

    assert (set(sizes), put.json()["width"]) == ({320}, 512)  # the last that was let in
    assert len(made) >= 2
    assert min(b - a for a, b in itertools.pairwise(made)) >= 0.4  # of 0.5; each has a thread
    await browser.close()


async def test_whoever_asked_for_a_size_that_has_no_room_is_told_and_nobody_else(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    browser = Browser()
    await browser.connect(served.http)
    prepare, going = served.worker.prepare_size, threading.Event()

    def wait(session: SessionId, size: Size) -> None:
        assert going.wait(PATIENCE)
        prepare(session, size)

    monkeypatch.setattr(served.worker, "prepare_size", wait)
    for seq, side in enumerate((256, 1024, 1024)):  # all ask before the first one is ready
        browser.say(type="size", seq=seq, width=side, height=side)
    browser.say(type="ping", seq=9)
    await browser.hear("pong")
    going.set()
    told = [await _size_answer(browser) for _ in range(3)]
    assert sorted((message["seq"], message["type"]) for message in told) == [
        (0, "resized"), (1, "error"), (2, "error"),
    ]  # fmt: skip
    browser.say(type="size", seq=3, width=320, height=256)
    assert (await browser.hear("resized"))["width"] == 320
    await browser.close()


async def _size_answer(browser: Browser) -> dict[str, object]:
    async with asyncio.timeout(PATIENCE):
        while (message := await browser.messages.get())["type"] not in ("resized", "error"):
            pass
    return message


async def test_a_size_that_fails_for_no_reason_of_ours_is_answered_too(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(session: SessionId, size: Size) -> None:
        raise RuntimeError("as asked")

    browser = Browser()
    await browser.connect(served.http)
    monkeypatch.setattr(served.worker, "prepare_size", fail)
    browser.say(type="size", seq=4, width=320, height=256)
    error = await browser.hear("error")
    assert (error["seq"], error["code"]) == (4, "internal")
    await browser.close()
