"""How often a session may change its size: making one ready takes time from everybody."""

import itertools
import time

import pytest

from pipeline.config import Size
from streams.frame import SessionId
from tests.server.client import Browser
from tests.server.conftest import Served


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
