"""A connection is lost, the session comes back."""

import asyncio

from pipeline.params import StyleParams
from server.resume import Identity, Lost
from server.schema.style import Style
from streams.frame import SessionId
from tests.server.client import Browser
from tests.server.conftest import Serve, Served

_BODY = ("id", "token", "viewer_token", "resume")


async def come_back(
    served: Served, token: str, **style: object
) -> tuple[Browser, dict[str, object]]:
    browser = Browser()
    answer = await browser.connect(served.http, resume=token, **style)
    assert answer.status_code == 201, answer.text
    return browser, answer.json()


async def test_a_lost_session_comes_back_with_its_style_and_its_viewers_link(serve: Serve) -> None:
    async with serve(no_media_s=1) as served:
        first = Browser()
        made = (await first.connect(served.http, prompt="ink", seed=7)).json()
        await served.http.patch(f"/api/sessions/{made['id']}", json={"strength": 0.9})
        first.camera.paused = True
        assert (await first.hear("ended"))["reason"] == "idle"
        await first.close()
        watcher = {"Authorization": f"Bearer {made['viewer_token']}"}
        watch = await served.http.post(f"/whep/{made['id']}", headers=watcher)
        assert (watch.status_code, watch.json()["code"]) == (409, "not_live")  # try again, not 401

        second, again = await come_back(served, made["resume"], guidance_scale=2.0)
        assert [again[key] for key in _BODY] == [made[key] for key in _BODY]
        style = again["style"]
        assert isinstance(style, dict)
        assert (style["prompt"], style["seed"], style["strength"]) == ("ink", 7, 0.9)
        assert style["guidance_scale"] == 2.0
        assert abs(await second.level() - 195) < 8
        await second.close()


async def test_a_session_comes_back_before_its_loss_was_noticed(served: Served) -> None:
    first = Browser()
    made = (await first.connect(served.http, prompt="ink")).json()
    await first.level()
    second, again = await come_back(served, made["resume"])
    assert again["id"] == made["id"]
    assert served.sessions == 1
    assert abs(await second.level() - 195) < 8
    assert (await first.hear("ended"))["reason"] == "idle"
    await asyncio.sleep(0.3)
    assert served.worker._mailbox.style(SessionId(made["id"])) == StyleParams(prompt="ink")
    assert abs(await second.level() - 195) < 8  # the first one's closing took nothing away
    await first.close()
    await second.close()


async def test_what_was_ended_on_purpose_or_is_unknown_makes_a_new_session(served: Served) -> None:
    first = Browser()
    made = (await first.connect(served.http, prompt="ink")).json()
    await served.http.delete(f"/api/sessions/{made['id']}")
    for token in (made["resume"], "unknown"):
        other, again = await come_back(served, token)
        assert again["id"] != made["id"]
        assert again["resume"] != made["resume"]
        assert again["style"] == Style().model_dump()
        await other.close()
    await first.close()


def test_the_way_back_is_open_for_its_time_once_and_for_so_many() -> None:
    now = 0.0
    lost = Lost(60, 2, lambda: now)
    people = [Identity() for _ in range(3)]
    for person in people:
        lost.keep(person, Style(prompt=person.id))
    assert lost.take(people[0].resume) is None  # the third took its room
    assert lost.take(people[1].resume) == (people[1], Style(prompt=people[1].id))
    assert lost.take(people[1].resume) is None
    now = 61.0
    assert lost.take(people[2].resume) is None
