"""Relays: each connection gets a password of its own, which a real TURN server takes."""

import asyncio
import base64
import hashlib
import hmac
from pathlib import Path

import pytest
from aiortc import RTCIceServer
from aiortc.rtcicetransport import RTCIceGatherer

from server.schema.sessions import IceServer
from server.settings import Settings, SettingsError, load_settings
from server.turn import ice_servers
from tests.server.client import Browser
from tests.server.conftest import Serve
from tests.server.players import Player, live
from tests.server.relay import SECRET, coturn
from tests.streams.waiting import PATIENCE

_URL = "turn:relay.example:3478"


def relayed(**values: object) -> Settings:
    return load_settings(turn_urls=_URL, turn_secret=SECRET, **values)


def test_each_connection_gets_its_own_password_that_ends_with_its_session() -> None:
    stun = IceServer(urls=["stun:stun.example"])
    settings = relayed(session_s=3600, ice_servers=[stun])
    (first, one), (_, other) = (ice_servers(settings, lambda: 1000.0) for _ in range(2))

    assert first == stun
    assert one.urls == [_URL]
    assert one.username != other.username
    assert one.username is not None
    assert one.username.startswith("4600:")
    signed = hmac.new(SECRET.encode(), one.username.encode(), hashlib.sha1).digest()
    assert one.credential == base64.b64encode(signed).decode()
    assert ice_servers(load_settings()) == []


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"turn_urls": _URL}, "turn_urls and turn_secret"),
        ({"turn_secret": SECRET}, "turn_urls and turn_secret"),
        ({"turn_urls": "relay.example", "turn_secret": SECRET}, "turn:HOST:PORT"),
        ({"turn_urls": _URL, "turn_secret": "short"}, "turn_secret"),
    ],
)
def test_settings_that_cannot_work_are_named(given: dict[str, object], words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        load_settings(**given)


async def test_a_page_and_a_viewer_are_told_before_they_connect(serve: Serve) -> None:
    async with serve(turn_urls=[_URL], turn_secret=SECRET) as served:
        told = (await served.http.get("/api/info")).json()["ice_servers"]
        assert [server["urls"] for server in told] == [[_URL]]

        browser = Browser()
        made = (await browser.connect(served.http)).json()
        assert made["ice_servers"][0]["username"] != told[0]["username"]
        path = f"/whep/{made['id']}/relays"
        viewer = {"Authorization": f"Bearer {made['viewer_token']}"}
        assert (await served.http.get(path, headers=viewer)).json()[0]["urls"] == [_URL]

        await live(served.http, made["id"])
        player = Player()
        answer = await player.watch(served.http, made["id"], made["viewer_token"])
        assert f'<{_URL}>; rel="ice-server"; username=' in answer.headers["link"]
        assert SECRET not in answer.headers["link"]
        await player.close()
        await browser.close()


async def relay_candidates(url: str, secret: str) -> list[str]:
    """Ask a TURN server for a relay, as the server's own peers would."""
    (server,) = ice_servers(load_settings(turn_urls=url, turn_secret=secret))
    gatherer = RTCIceGatherer([RTCIceServer(**server.model_dump())])
    try:
        await gatherer.gather()
        return [c.type for c in gatherer.getLocalCandidates() if c.type == "relay"]
    finally:
        await gatherer._connection.close()


async def test_coturn_takes_the_password_and_no_other(tmp_path: Path) -> None:
    async with coturn(tmp_path) as url:
        async with asyncio.timeout(PATIENCE):
            while not (found := await relay_candidates(url, SECRET)):  # noqa: ASYNC110
                await asyncio.sleep(0.2)  # it is still starting
        assert found == ["relay"]
        assert await relay_candidates(url, "another-secret-than-coturn-has") == []
