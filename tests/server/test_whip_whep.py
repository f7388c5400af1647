"""In by WHIP, out by WHEP: pictures, statuses, headers, tokens."""

import asyncio
import time
from unittest.mock import AsyncMock

import pytest
from aiortc import RTCCertificate
from aiortc.rtcdtlstransport import RTCDtlsFingerprint, SRTPProtectionProfile
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.x509 import Certificate
from OpenSSL import SSL, crypto

from server.schema.sessions import IceServer
from streams.aiortc_patches.sending import WideVp8Encoder
from streams.room import LocalRoom
from tests.server.client import Browser
from tests.server.conftest import TOKEN, Serve, Served
from tests.server.players import SDP, Player, Publisher, session_of
from tests.streams.waiting import discard, eventually

_TAKEN = "one of video/VP8, video/H264 is needed"  # OBS shows none of it; who reads the log does


@pytest.mark.parametrize("codec", ["VP8", "H264"])
async def test_what_comes_in_by_whip_goes_out_restyled_by_whep(codec: str, served: Served) -> None:
    publisher, player = Publisher(), Player(codec)
    made = await publisher.publish(served.http, "?prompt=ink&strength=0.25")
    assert (made.status_code, made.headers["content-type"]) == (201, "application/sdp")
    assert "a=recvonly" in made.text
    state = await session_of(served.http, made)
    assert (state["style"]["prompt"], state["style"]["strength"]) == ("ink", 0.25)

    seen = await player.watch(served.http, state["id"], state["viewer_token"])
    assert seen.status_code == 201
    assert "a=sendonly" in seen.text
    assert all(abs(level - 195) < 8 for level in await player.levels(10))

    look = (await served.http.get(f"/api/sessions/{state['id']}")).json()
    assert look["viewers"] == 1
    assert look["stats"]["frames_out"] >= 10
    assert (await served.http.delete(seen.headers["location"])).status_code == 200
    assert (await served.http.delete(seen.headers["location"])).status_code == 404
    assert (await served.http.delete(made.headers["location"])).status_code == 200
    assert served.sessions == 0
    await publisher.close()
    await player.close()


class _OldCertificate(RTCCertificate):
    """X.509 version 2, as OBS of Linux distributions has it (libdatachannel < 0.23, OpenSSL)."""

    def __init__(self, key: EllipticCurvePrivateKey, cert: Certificate) -> None:
        super().__init__(key, cert)
        self.old = crypto.X509.from_cryptography(cert)
        self.old.set_version(1)  # counted from 0
        self.old.sign(crypto.PKey.from_cryptography_key(key), "sha256")

    def getFingerprints(self) -> list[RTCDtlsFingerprint]:
        return [RTCDtlsFingerprint("sha-256", self.old.digest("sha256").decode())]

    def _create_ssl_context(self, srtp_profiles: list[SRTPProtectionProfile]) -> SSL.Context:
        context = super()._create_ssl_context(srtp_profiles)
        context.use_certificate(self.old)
        return context


@pytest.mark.filterwarnings("ignore:(Passing pyOpenSSL )?X509:DeprecationWarning")
@pytest.mark.parametrize("honest", [True, False])
async def test_a_certificate_is_known_by_its_digest_alone(
    honest: bool, served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aiortc.rtcpeerconnection.RTCCertificate", _OldCertificate)
    publisher = Publisher()
    if not honest:
        lie = [RTCDtlsFingerprint("sha-256", ":".join(["00"] * 32))]
        monkeypatch.setattr(_OldCertificate, "getFingerprints", lambda self: lie)
    made = await publisher.publish(served.http)
    monkeypatch.undo()
    if honest:
        assert (await session_of(served.http, made))["state"] == "live"
    else:
        await asyncio.sleep(1)
        state = await served.http.get(f"/api/sessions/{made.headers['location'][6:]}")
        assert state.status_code == 404 or state.json()["state"] != "live"
    await publisher.close()


async def test_a_published_session_is_restyled_like_any_other(served: Served) -> None:
    publisher, player = Publisher(), Player()
    state = await session_of(served.http, await publisher.publish(served.http))
    await player.watch(served.http, state["id"], TOKEN)
    await player.levels(3)
    patched = await served.http.patch(f"/api/sessions/{state['id']}", json={"bypass": True})
    assert patched.status_code == 200
    await player.shows(60)
    await publisher.close()
    await player.close()


async def test_ten_viewers_cost_one_encode(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    encoded = 0
    encode = WideVp8Encoder.encode

    def count(self: WideVp8Encoder, *given: object) -> object:
        nonlocal encoded
        encoded += 1
        return encode(self, *given)

    publisher = Publisher()  # sends H.264, so every VP8 encode is for viewers
    state = await session_of(served.http, await publisher.publish(served.http))
    monkeypatch.setattr(WideVp8Encoder, "encode", count)
    players = [Player() for _ in range(10)]
    for player in players:
        seen = await player.watch(served.http, state["id"], state["viewer_token"])
        assert seen.status_code == 201
        await player.levels(1)  # so each but the first joins a stream that runs

    before = (await served.http.get(f"/api/sessions/{state['id']}")).json()["stats"]["frames_out"]
    encoded = 0
    for player in players:
        discard(player.pictures)
    await asyncio.gather(*(player.levels(10) for player in players))
    stats = (await served.http.get(f"/api/sessions/{state['id']}")).json()["stats"]

    assert 10 <= encoded <= stats["frames_out"] - before + 2
    await asyncio.gather(*(player.close() for player in players), publisher.close())


async def test_a_browsers_session_can_be_watched_too(served: Served) -> None:
    browser, player = Browser(), Player("H264")
    made = (await browser.connect(served.http)).json()
    await browser.level()
    assert (await player.watch(served.http, made["id"], made["viewer_token"])).status_code == 201
    assert abs((await player.levels(3))[-1] - 195) < 8
    assert abs(await browser.level() - 195) < 8
    await browser.close()
    await player.close()


async def test_a_viewer_token_may_watch_its_session_and_nothing_else(served: Served) -> None:
    browser, other = Browser(), Browser()
    made = (await browser.connect(served.http)).json()
    foreign = (await other.connect(served.http)).json()
    await browser.level()
    headers = {"Authorization": f"Bearer {made['viewer_token']}"}
    for method, path in (
        ("GET", f"/api/sessions/{made['id']}"), ("DELETE", f"/api/sessions/{made['id']}"),
        ("GET", "/api/sessions"), ("GET", "/api/info"), ("DELETE", f"/whip/{made['id']}"),
    ):  # fmt: skip
        refused = await served.http.request(method, path, headers=headers)
        assert (refused.status_code, refused.json()["code"]) == (403, "viewer_only"), path
    path = f"/api/sessions/{made['id']}"
    refused = await served.http.patch(path, json={"prompt": "mine"}, headers=headers)
    assert (refused.status_code, refused.json()["code"]) == (403, "viewer_only")

    player = Player()
    elsewhere = await player.watch(served.http, foreign["id"], made["viewer_token"])
    assert elsewhere.status_code == 404
    for each in (browser, other, player):
        await each.close()


async def test_a_name_keeps_its_link_from_one_stream_to_the_next(serve: Serve) -> None:
    async with serve() as served:
        first, other, player = Publisher(), Publisher(), Player()
        astray, late = Player(), Player()
        state = await session_of(served.http, await first.publish(served.http, "?name=desk"))
        foreign = await session_of(served.http, await other.publish(served.http, "?name=sofa"))
        token = state["viewer_token"]
        assert state["name"] == "desk"
        assert token != foreign["viewer_token"]
        assert (await player.watch(served.http, "desk", token)).status_code == 201
        assert (await astray.watch(served.http, "sofa", token)).status_code == 404
        await player.levels(1)
        await served.http.delete(f"/whip/{state['id']}")
        gone = await late.watch(served.http, "desk", token)
        assert (gone.status_code, gone.json()["code"]) == (409, "not_live")
        assert int(gone.headers["retry-after"]) >= 1
        headers = {"Authorization": f"Bearer {token}"}
        listed = await served.http.get("/api/sessions", headers=headers)
        assert (listed.status_code, listed.json()["code"]) == (403, "viewer_only")
        for each in (first, other, player, astray, late):
            await each.close()
    async with serve() as served:  # the server was restarted, with the same token
        again, player = Publisher(), Player()
        await session_of(served.http, await again.publish(served.http, "?name=desk"))
        assert (await player.watch(served.http, "desk", token)).status_code == 201
        await player.levels(1)
        for each in (again, player):
            await each.close()


async def test_a_publisher_that_crashed_gets_its_place_back(serve: Serve) -> None:
    async with serve(sessions=1) as served:
        first, stranger, again = Publisher(), Publisher(), Publisher()
        state = await session_of(served.http, await first.publish(served.http, "?name=desk"))
        early = await again.publish(served.http, "?name=desk")
        assert (early.status_code, early.json()["code"]) == (503, "full")
        await again.close()
        first.camera.paused = True

        async def silent() -> bool:
            session = await served.http.get(f"/api/sessions/{state['id']}")
            return bool(session.json()["state"] != "live")

        await eventually(silent)
        other = await stranger.publish(served.http, "?name=sofa")
        assert (other.status_code, other.json()["code"]) == (503, "full")
        assert served.lines[-1] == "A stream was refused: all 1 places are taken"
        again = Publisher()
        back = await session_of(served.http, await again.publish(served.http, "?name=desk"))
        assert back["id"] != state["id"]
        for each in (first, stranger, again):
            await each.close()


async def test_a_running_session_gets_a_name_and_loses_it_with_its_links(served: Served) -> None:
    browser, player, late = Browser(), Player(), Player()
    made = (await browser.connect(served.http)).json()
    await browser.level()
    path = f"/api/sessions/{made['id']}/name"
    named = (await served.http.put(path, json={"name": "desk"})).json()
    assert named["name"] == "desk"
    old = {"Authorization": f"Bearer {made['viewer_token']}"}
    refused = await served.http.get(f"/api/sessions/{made['id']}", headers=old)
    assert refused.status_code == 401
    assert (await player.watch(served.http, "desk", named["viewer_token"])).status_code == 201
    await player.levels(1)

    without = (await served.http.put(path, json={"name": None})).json()
    assert without["name"] is None
    assert without["viewer_token"] not in (made["viewer_token"], named["viewer_token"])
    gone = await late.watch(served.http, "desk", named["viewer_token"])
    assert (gone.status_code, gone.json()["code"]) == (409, "not_live")
    await player.levels(2)  # who watches already goes on
    for each in (browser, player, late):
        await each.close()


@pytest.mark.parametrize("name", ["", "Desk", "a b", "-desk", "x" * 33, "desk.1"])
async def test_a_wrong_name_is_refused(served: Served, name: str) -> None:
    publisher = Publisher()
    refused = await served.http.post(
        "/whip", params={"name": name}, content=await publisher.offer(), headers=SDP
    )
    assert (refused.status_code, refused.json()["code"]) == (422, "invalid")
    assert "name" in refused.json()["detail"]
    await publisher.close()


async def test_viewers_have_a_limit_and_wait_for_a_live_stream(serve: Serve) -> None:
    async with serve(viewers=1) as served:
        publisher, first, second, early = Publisher(), Player(), Player(), Player()
        made = await served.http.post("/whip", content=await publisher.offer(), headers=SDP)
        session = made.headers["location"].rpartition("/")[2]
        refused = await early.watch(served.http, session, TOKEN)
        assert (refused.status_code, refused.json()["code"]) == (409, "not_live")
        assert int(refused.headers["retry-after"]) >= 1
        await served.http.delete(made.headers["location"])

        browser = Browser()
        session = (await browser.connect(served.http)).json()["id"]
        await browser.level()
        assert (await first.watch(served.http, session, TOKEN)).status_code == 201
        await first.levels(1)
        refused = await second.watch(served.http, session, TOKEN)
        assert (refused.status_code, refused.json()["code"]) == (503, "full")
        assert "1 viewers" in refused.json()["detail"]
        for each in (publisher, first, second, early, browser):
            await each.close()


@pytest.mark.parametrize(
    ("query", "kind", "change", "status", "code", "words"),
    [
        ("", "application/json", None, 415, "wrong_content_type", "application/sdp"),
        ("", "application/sdp", ("v=0", "nonsense"), 400, "malformed_sdp", "v=0"),
        ("", "application/sdp", (" H264/", " H265/"), 406, "unsupported_codec", _TAKEN),
        ("", "application/sdp", ("sendonly", "recvonly"), 422, "wrong_direction", "recvonly"),
        ("?strength=7", "application/sdp", None, 422, "invalid", "strength"),
        ("?colour=red", "application/sdp", None, 422, "invalid", "colour"),
        ("?prompt=a&prompt=b", "application/sdp", None, 422, "invalid", "more than once"),
    ],
)
async def test_a_bad_publication_is_refused_with_its_reason(
    query: str, kind: str, change: tuple[str, str] | None, status: int, code: str, words: str,
    served: Served,
) -> None:  # fmt: skip
    publisher = Publisher()
    sdp = await publisher.offer()
    answer = await served.http.post(
        "/whip" + query,
        content=sdp.replace(*change) if change else sdp,
        headers={"Content-Type": kind},
    )
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
    assert words in answer.json()["detail"]
    if status == 406:
        assert "H265" in answer.json()["detail"]
    assert served.sessions == 0
    await publisher.close()


async def test_a_player_that_speaks_no_codec_of_ours_is_told(served: Served) -> None:
    browser, player = Browser(), Player()
    session = (await browser.connect(served.http)).json()["id"]
    await browser.level()
    sdp = (await player.offer()).replace(" VP8/", " AV1/")
    answer = await served.http.post(f"/whep/{session}", content=sdp, headers=SDP)
    assert (answer.status_code, answer.json()["code"]) == (406, "unsupported_codec")
    assert "AV1" in answer.json()["detail"]
    assert _TAKEN in answer.json()["detail"]
    await browser.close()
    await player.close()


class _Slow(LocalRoom):
    """A room that takes longer than anyone waits."""

    async def accept(self, offer: str, sends: bool = True) -> str:
        await asyncio.sleep(60)
        return await super().accept(offer, sends)


@pytest.mark.parametrize(
    ("setup_s", "longest"), [(0.3, 0.3), pytest.param(10, 7, marks=pytest.mark.long)]
)
async def test_a_publisher_hears_before_obs_gives_up_and_its_place_is_free(
    setup_s: float, longest: float, serve: Serve
) -> None:
    async with serve(sessions=1, setup_s=setup_s) as served:
        sessions = served.app.state.context.sessions
        quick, sessions._open_room = sessions._open_room, _Slow
        publisher, again = Publisher(), Publisher()
        began = time.monotonic()
        refused = await publisher.publish(served.http)
        took = time.monotonic() - began
        assert (refused.status_code, refused.json()["code"]) == (503, "busy")
        assert int(refused.headers["retry-after"]) >= 1
        assert longest <= took < longest + 2
        assert served.lines[-1] == "A stream was refused: no answer to the offer in time"
        assert served.sessions == 0

        sessions._open_room = quick
        assert (await again.publish(served.http)).status_code == 201
        await publisher.close()
        await again.close()


async def test_a_browsers_hidden_address_is_not_waited_for(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = AsyncMock(side_effect=OSError)
    monkeypatch.setattr("aioice.mdns.create_mdns_protocol", asked)
    publisher = Publisher()
    name = "0a1b2c3d-0000-4000-8000-000000000000.local"
    hidden = f"a=candidate:1 1 udp 2113937151 {name} 50000 typ host\r\n"
    offer = await publisher.offer()
    publisher.offer = AsyncMock(return_value=offer + hidden)  # type: ignore[method-assign]  # tests
    await session_of(served.http, await publisher.publish(served.http))
    assert not asked.called  # a name that nobody has would take a second
    await publisher.close()


async def test_trickle_and_restarts_are_refused(served: Served) -> None:
    publisher = Publisher()
    made = await publisher.publish(served.http)
    await session_of(served.http, made)
    path = made.headers["location"]
    assert "etag" not in made.headers
    fragment = {"Content-Type": "application/trickle-ice-sdpfrag"}
    trickle = await served.http.patch(path, content="a=end-of-candidates\r\n", headers=fragment)
    assert (trickle.status_code, trickle.json()["code"]) == (405, "no_trickle")
    other = await served.http.patch(path, content="v=0", headers=SDP)
    assert (other.status_code, other.json()["code"]) == (415, "wrong_content_type")
    await publisher.close()


async def test_ice_servers_and_what_may_be_posted_stand_in_headers(serve: Serve) -> None:
    relay = "turn:127.0.0.1:9?transport=tcp"  # nobody is there, which TCP tells at once
    turn = IceServer(urls=[relay], username="ann", credential='a"b')
    async with serve(ice_servers=[turn]) as served:
        publisher = Publisher()
        made = await served.http.post("/whip", content=await publisher.offer(), headers=SDP)
        assert made.headers["link"] == (
            f'<{relay}>; rel="ice-server"; username="ann"; credential="a\\"b"; '
            'credential-type="password"'
        )
        await publisher.close()
        for path in ("/whip", "/whep/any"):
            told = await served.http.options(path)
            assert (told.status_code, told.headers["accept-post"]) == (200, "application/sdp")
            assert (await served.http.get(path)).status_code == 204


async def test_head_says_what_a_player_may_speak_here(served: Served) -> None:
    told = await served.http.head("/whep/any")
    assert (told.status_code, told.headers["content-type"]) == (200, "application/sdp")
    assert told.content == b""


# what a page asks its browser for, by path; the browser asks the server before
_ASKED = [
    ("/whip", "POST"), ("/whip/", "POST"), ("/whip/any", "PATCH"), ("/whip/any", "DELETE"),
    ("/whep/any", "POST"), ("/whep/any/relays", "GET"),
    ("/whep/any/one", "PATCH"), ("/whep/any/one", "DELETE"),
]  # fmt: skip


@pytest.mark.parametrize(("path", "method"), _ASKED)
async def test_only_configured_origins_may_ask_and_read_answers(
    path: str, method: str, serve: Serve
) -> None:
    async with serve(origins=["http://friend.example"]) as served:
        asks = {
            "Access-Control-Request-Method": method,
            "Access-Control-Request-Headers": "authorization,content-type",
        }
        del served.http.headers["Authorization"]  # a preflight has none
        friend, evil = [
            await served.http.options(path, headers={"Origin": origin} | asks)
            for origin in ("http://friend.example", "http://evil.example")
        ]
        read = await served.http.request(
            method, path, headers={"Origin": "http://friend.example"} | SDP
        )
    assert friend.status_code == 200
    assert friend.headers["access-control-allow-origin"] == "http://friend.example"
    assert method in friend.headers["access-control-allow-methods"].split(", ")
    assert method in friend.headers["allow"].split(", ")
    may_send = friend.headers["access-control-allow-headers"].lower().split(", ")
    assert {"authorization", "content-type"} <= set(may_send)
    exposed = friend.headers["access-control-expose-headers"].split(", ")
    assert {"Location", "Link", "ETag"} <= set(exposed)
    assert not any(name.startswith("access-control") for name in evil.headers)
    assert read.status_code == 401  # the page is told why
    assert read.headers["access-control-allow-origin"] == "http://friend.example"


async def test_a_page_of_a_configured_origin_ends_what_it_began(serve: Serve) -> None:
    origin = {"Origin": "http://friend.example"}
    async with serve(origins=["http://friend.example"]) as served:
        publisher, player = Publisher(), Player()
        made = await publisher.publish(served.http)
        state = await session_of(served.http, made)
        seen = await player.watch(served.http, state["id"], state["viewer_token"])
        for path in (seen.headers["location"], made.headers["location"]):
            evil = await served.http.delete(path, headers={"Origin": "http://evil.example"})
            assert (evil.status_code, evil.json()["code"]) == (403, "foreign_origin")
            assert (await served.http.delete(path, headers=origin)).status_code == 200
        assert served.sessions == 0
        await publisher.close()
        await player.close()


async def test_the_overlay_page_needs_nothing_from_elsewhere_and_nothing_inline(
    served: Served,
) -> None:
    page = await served.http.get("/overlay/any")
    assert page.headers["content-type"].startswith("text/html")
    assert "default-src 'self'" in page.headers["content-security-policy"]
    assert "<script>" not in page.text
    assert "style=" not in page.text
    for path, kind in (("/overlay.js", "text/javascript"), ("/overlay.css", "text/css")):
        assert path in page.text
        assert (await served.http.get(path)).headers["content-type"].startswith(kind)
