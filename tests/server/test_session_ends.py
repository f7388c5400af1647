"""Sessions that end, and what is left of them: nothing that acts, hangs or keeps others waiting."""

import asyncio
from pathlib import Path
from types import SimpleNamespace

import pytest

from server.session import Session
from server.sessions import Sessions
from tests.server.client import Browser
from tests.server.conftest import Serve, Served
from tests.server.test_sessions import SlowToEncode
from tests.streams.waiting import eventually


def sessions_of(served: Served) -> Sessions:
    found: Sessions = served.app.state.context.sessions
    return found


async def test_what_an_ended_session_still_says_does_not_reach_the_one_that_came_back(
    served: Served,
) -> None:
    first, second = Browser(), Browser()
    made = (await first.connect(served.http)).json()
    (ended,) = sessions_of(served)
    assert (await second.connect(served.http, made["resume"])).json()["id"] == made["id"]
    for message in ('"matte", "matte": "side"', '"style", "style": {"prompt": "late"}'):
        ended._on_message(f'{{"seq": 1, "type": {message}}}')
    assert not served.worker._mailbox.is_paired(ended.id)
    sessions_of(served).end(next(iter(sessions_of(served))), "deleted")
    ended._on_message('{"seq": 2, "type": "matte", "matte": "side"}')  # nobody has the id now
    for each in (first, second):
        await each.close()


async def test_a_drain_does_not_wait_for_a_session_that_could_not_begin(serve: Serve) -> None:
    async with serve(SlowToEncode, drain_s=600) as served:
        offer = {"sdp": "nonsense", "type": "offer", "style": {"prompt": "slow"}}
        coming = asyncio.create_task(served.http.post("/api/sessions", json=offer))
        await eventually(lambda: served.sessions > 0)
        await asyncio.wait_for(sessions_of(served).drain(), 20)
        assert (await coming).status_code == 400


async def test_a_session_whose_figures_fail_keeps_no_other_from_its_deadline(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serve(no_media_s=1) as served:
        ann, ben = Browser(), Browser()
        for each in (ann, ben):
            await each.connect(served.http)
            await each.level()
        first: Session = next(iter(sessions_of(served)))

        def fail() -> None:
            raise RuntimeError("as asked")

        monkeypatch.setattr(first, "tell_figures", fail)
        ben.camera.paused = True
        assert (await ben.hear("ended"))["reason"] == "idle"
        for each in (ann, ben):
            await each.close()


async def test_a_source_that_hangs_does_not_keep_a_recording_from_its_end(
    serve: Serve, tmp_path: Path
) -> None:
    async with serve(recordings=tmp_path) as served:
        browser = Browser()
        location = (await browser.connect(served.http)).headers["location"]
        await browser.level()
        await served.http.post(f"{location}/outputs", json={"kind": "recording"})
        (session,) = sessions_of(served)
        answers = asyncio.Event()
        session.source = SimpleNamespace(close=answers.wait)  # type: ignore[assignment]  # all of it that is asked
        sessions_of(served).end(session, "deleted")
        try:
            await eventually(lambda: not session.outputs.states(), 20)
            assert sessions_of(served).closing == 1
        finally:
            answers.set()
        await browser.close()
