"""Offers that are answered and never connect: whom they keep out, and for how long."""

import asyncio
import threading
import time
from types import SimpleNamespace
from typing import Any, cast

import httpx
import pytest

from pipeline.params import StyleParams
from server.half_open import giving_way
from server.session import Session
from tests.server.client import Browser
from tests.server.conftest import Serve, Served
from tests.streams.fakes import FakeEngine
from tests.streams.waiting import PATIENCE, eventually

FLOOD, PERSON = "192.0.2.1", "192.0.2.2"


def offer(address: str, age: float) -> Session:
    made: Any = SimpleNamespace(address=address, started=time.monotonic() - age)
    return cast(Session, made)


@pytest.mark.parametrize(
    ("offers", "expected"),
    [
        ([], None),
        ([(FLOOD, 1)], None),  # it may be connecting just now
        ([(FLOOD, 100)], 0),  # it is not
        ([(PERSON, 100), (PERSON, 100)], None),  # never for one's own address
        ([(PERSON, 1), (FLOOD, 100)], None),  # places are shared already
        ([(FLOOD, 1), (FLOOD, 2), (FLOOD, 0)], 1),  # the oldest
        ([("192.0.2.3", 3), (FLOOD, 1), (FLOOD, 2)], 2),  # of who has most
        ([(PERSON, 1), (FLOOD, 1), (FLOOD, 2)], None),
        ([(PERSON, 1), (FLOOD, 1), (FLOOD, 100)], 2),
    ],
)
def test_a_place_goes_from_who_has_most_to_who_has_least(
    offers: list[tuple[str, float]], expected: int | None
) -> None:
    waiting = [offer(*each) for each in offers]
    assert giving_way(waiting, PERSON, late=5) is (None if expected is None else waiting[expected])


def from_address(served: Served, address: str) -> httpx.AsyncClient:
    """Make a client that seems to be elsewhere."""
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(served.app, client=(address, 5000)),
        base_url="http://127.0.0.1",
        headers=served.http.headers,
    )


async def test_a_flood_from_one_address_keeps_nobody_else_out(serve: Serve) -> None:
    async with serve(sessions=4, setup_s=60) as served:
        flood = Browser()
        body = {"sdp": await flood.offer(), "type": "offer"}
        async with from_address(served, FLOOD) as http:
            answers = [await http.post("/api/sessions", json=body) for _ in range(20)]
        assert [answer.status_code for answer in answers] == [201] * 4 + [429] * 16
        assert all(int(answer.headers["retry-after"]) >= 1 for answer in answers[4:])

        person = Browser()
        async with from_address(served, PERSON) as http:
            assert (await person.connect(http)).status_code == 201
        assert abs(await person.level() - 195) < 8
        assert served.sessions == 4
        oldest = await served.http.get(answers[0].headers["location"])
        assert oldest.status_code == 404
        for each in (flood, person):
            await each.close()


async def test_who_is_connected_gives_way_to_nobody(serve: Serve) -> None:
    async with serve(sessions=2, setup_s=60) as served:
        first, second, third = Browser(), Browser(), Browser()
        async with from_address(served, FLOOD) as http:
            for each in (first, second):
                assert (await each.connect(http)).status_code == 201
                await each.level()
        async with from_address(served, PERSON) as http:
            refused = await third.connect(http)
        assert (refused.status_code, refused.json()["code"]) == (503, "full")
        assert int(refused.headers["retry-after"]) >= 1
        assert served.sessions == 2
        for each in (first, second, third):
            await each.close()


async def test_nobody_gives_way_to_one_who_begins_too_often(serve: Serve) -> None:
    async with serve(sessions=2, setup_s=60, joins_per_minute=2) as served:
        browser = Browser()
        body = {"sdp": await browser.offer(), "type": "offer"}
        async with from_address(served, PERSON) as person, from_address(served, FLOOD) as http:
            for _ in range(2):
                await person.post("/api/sessions", json={"sdp": "nonsense", "type": "offer"})
            made = [await http.post("/api/sessions", json=body) for _ in range(2)]
            assert [answer.status_code for answer in made] == [201, 201]
            refused = await person.post("/api/sessions", json=body)
            assert (refused.status_code, refused.json()["code"]) == (429, "too_many_joins")
            for answer in made:
                assert (await http.get(answer.headers["location"])).status_code == 200
        await browser.close()


async def test_one_that_is_not_set_up_in_time_is_told_to_come_back(serve: Serve) -> None:
    let = threading.Event()

    class Held(FakeEngine):
        def prepare(self, params: StyleParams) -> str | None:
            let.wait(PATIENCE)
            return None

    async with serve(Held, setup_s=0.5) as served:
        browser = Browser()
        body = {"sdp": await browser.offer(), "type": "offer"}
        coming = asyncio.create_task(served.http.post("/api/sessions", json=body))
        await eventually(lambda: served.app.state.context.sessions.past.ended["idle"] == 1)
        let.set()
        answer = await coming
        assert (answer.status_code, answer.json()["code"]) == (503, "busy")
        assert int(answer.headers["retry-after"]) >= 1
        assert served.sessions == 0
        await browser.close()
