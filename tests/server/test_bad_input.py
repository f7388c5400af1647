"""Each wrong input gets one clear answer, and nothing is created by it."""

import asyncio
import gzip
import logging
from collections.abc import AsyncIterator

import pytest

from streams.peer import Peer
from streams.worker import Worker
from tests.server.client import Browser
from tests.server.conftest import Serve, Served
from tests.streams.waiting import PATIENCE

OFFER = {"sdp": "v=0", "type": "offer"}


def style(**values: object) -> dict[str, object]:
    return OFFER | {"style": values}


@pytest.mark.parametrize(
    ("body", "status", "code", "words"),
    [
        (style(colour="red"), 422, "invalid", ("colour", "not permitted")),
        (style(strength=1.7), 422, "invalid", ("strength", "1.7", "less than or equal to 1")),
        (style(steps=0), 422, "invalid", ("steps", "greater than or equal to 1")),
        (style(steps="2"), 422, "invalid", ("steps", "integer")),
        (style(prompt="x" * 501), 422, "invalid", ("prompt", "500")),
        ({"type": "offer"}, 422, "invalid", ("sdp",)),
        ({"sdp": "v=0", "type": "answer"}, 422, "invalid", ("type", "answer")),
        ({"sdp": "nonsense", "type": "offer"}, 400, "malformed_sdp", ("sdp",)),
        ({"sdp": "v=0" + "\n" * 3000, "type": "offer"}, 422, "sdp_too_long", ("2000",)),
        ({"sdp": "x" * 70_000, "type": "offer"}, 422, "invalid", ("sdp", "65536")),
        ({"sdp": "v=0" + "\n" * 100_000, "type": "offer"}, 422, "invalid", ("sdp", "65536")),
        ({"sdp": "x" * 300_000, "type": "offer"}, 413, "too_large", ()),
        ({"sdp": "v=0", "type": "offer", "more": ["x" * 100] * 100_000}, 413, "too_large", ()),
    ],
)
async def test_a_bad_offer_is_refused_with_its_reason(
    body: dict[str, object], status: int, code: str, words: tuple[str, ...], served: Served
) -> None:
    answer = await served.http.post("/api/sessions", json=body)
    problem = answer.json()
    assert (answer.status_code, problem["status"], problem["code"]) == (status, status, code)
    assert answer.headers["content-type"] == "application/problem+json"
    assert problem["request_id"] == answer.headers["x-request-id"]
    assert all(word in problem["detail"] for word in words), problem["detail"]
    assert served.sessions == 0


@pytest.mark.parametrize(
    ("without", "code"),
    [("a=fingerprint", "no_fingerprint"), ("a=rtpmap", "no_codec"), ("m=video", "no_video")],
)
async def test_an_offer_that_lacks_something_names_it(
    without: str, code: str, served: Served
) -> None:
    browser = Browser()
    sdp = await browser.offer()
    if without == "m=video":
        sdp = "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n"
    if without == "a=rtpmap":
        sdp = sdp.replace(" VP8/", " VP9/").replace(" H264/", " H265/")
    lines = [
        line
        for line in sdp.split("\r\n")
        if not line.startswith("a=fingerprint") or without != "a=fingerprint"
    ]
    answer = await served.http.post(
        "/api/sessions", json={"sdp": "\r\n".join(lines), "type": "offer"}
    )
    assert (answer.status_code, answer.json()["code"]) == (422, code), answer.text
    await browser.close()


@pytest.mark.parametrize("count", [21, 1000])
async def test_too_many_candidates_are_refused(count: int, served: Served) -> None:
    browser = Browser()
    sdp = await browser.offer()
    line = "a=candidate:1 1 udp 1 10.0.0.1 9 typ host\r\n"
    answer = await served.http.post(
        "/api/sessions",
        json={"sdp": sdp.replace("a=mid:0\r\n", "a=mid:0\r\n" + line * count), "type": "offer"},
    )
    assert (answer.status_code, answer.json()["code"]) == (422, "too_many_candidates")
    assert served.sessions == 0
    await browser.close()


async def test_what_is_no_json_and_what_claims_to_be_something_else(served: Served) -> None:
    json_type = {"Content-Type": "application/json"}
    broken = await served.http.post("/api/sessions", content="{", headers=json_type)
    assert (broken.status_code, broken.json()["code"]) == (400, "malformed_json")
    form = await served.http.post("/api/sessions", data={"sdp": "v=0"})
    assert (form.status_code, form.json()["code"]) == (415, "wrong_content_type")


async def test_a_packed_body_is_not_unpacked(served: Served) -> None:
    """A small one may hold gigabytes."""
    body = b'{"sdp": "v=0", "type": "offer"}' + b" " * 50_000_000
    packed = await asyncio.to_thread(gzip.compress, body)
    assert len(packed) < 100_000
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    answer = await served.http.post("/api/sessions", content=packed, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (400, "malformed_json")  # as it came
    assert served.sessions == 0


async def test_a_body_in_chunks_is_counted(served: Served) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(40):
            yield b"x" * 10_000

    answer = await served.http.post(
        "/api/sessions", content=chunks(), headers={"Content-Type": "application/json"}
    )
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")


async def test_unknown_paths_methods_and_huge_headers(served: Served) -> None:
    assert (await served.http.get("/api/nowhere")).status_code == 404
    assert (await served.http.put("/api/info")).status_code in (404, 405)
    huge = await served.http.get("/healthz", headers={"X-Long": "x" * 20_000})
    assert (huge.status_code, huge.json()["code"]) == (431, "headers_too_large")


async def test_what_nobody_foresaw_tells_an_id_and_no_more(
    served: Served, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(self: Worker, *_: object) -> None:
        raise RuntimeError("a secret path")

    monkeypatch.setattr(Worker, "open", fail)
    with caplog.at_level(logging.ERROR):
        answer = await served.http.post("/api/sessions", json=OFFER)
    assert answer.status_code == 500
    assert "secret" not in answer.text
    assert answer.json()["request_id"] in caplog.text
    assert served.sessions == 0


async def test_a_full_server_says_when_to_come_back_and_makes_nothing(serve: Serve) -> None:
    async with serve(sessions=1) as served:
        first, second = Browser(), Browser()
        made = await first.connect(served.http)
        refused = await second.connect(served.http)
        assert (refused.status_code, refused.json()["code"]) == (503, "full")
        assert int(refused.headers["retry-after"]) >= 1
        assert served.sessions == 1

        await served.http.delete(made.headers["location"])
        third = Browser()
        assert (await third.connect(served.http)).status_code == 201
        for browser in (first, second, third):
            await browser.close()


async def test_unfinished_offers_of_one_peer_are_few(serve: Serve) -> None:
    async with serve(sessions=10, pending_per_peer=2) as served:
        browsers = [Browser() for _ in range(3)]
        codes = []
        for browser in browsers:
            body = {"sdp": await browser.offer(), "type": "offer"}
            codes.append((await served.http.post("/api/sessions", json=body)).status_code)
        assert codes == [201, 201, 429]
        for browser in browsers:
            await browser.close()


async def test_before_the_model_is_there_everything_says_loading(serve: Serve) -> None:
    import threading

    from tests.streams.fakes import FakeEngine

    loaded = threading.Event()

    def build() -> FakeEngine:
        loaded.wait(PATIENCE)
        return FakeEngine()

    async with serve(build, wait=False) as served:
        assert (await served.http.get("/healthz")).status_code == 200
        assert (await served.http.get("/readyz")).status_code == 503
        refused = await served.http.post("/api/sessions", json=OFFER)
        assert (refused.status_code, refused.json()["code"]) == (503, "loading")
        asked = await served.http.get("/api/info")
        told = (asked.status_code, asked.json()["code"], asked.headers["retry-after"])
        assert told == (503, "loading", refused.headers["retry-after"])
        loaded.set()


async def test_a_model_that_cannot_be_built_is_told(serve: Serve) -> None:
    from pipeline.errors import ModelError
    from tests.streams.fakes import FakeEngine

    def build() -> FakeEngine:
        raise ModelError("no such folder")

    async with serve(build) as served:
        refused = await served.http.post("/api/sessions", json=OFFER)
        assert (refused.status_code, refused.json()["code"]) == (503, "engine_failed")


async def test_an_answer_that_takes_too_long_is_told_as_busy_and_leaves_nothing(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never(*_: object) -> str:
        await asyncio.sleep(60)
        return ""

    monkeypatch.setattr(Peer, "accept", never)
    async with serve(setup_s=0.2) as served:
        answer = await served.http.post("/api/sessions", json=OFFER)
        assert (answer.status_code, answer.json()["code"]) == (503, "busy")
        assert int(answer.headers["retry-after"]) >= 1
        assert served.sessions == 0
