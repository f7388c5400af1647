"""Whoever is refused is told an id, and the log has it, as it is by default."""

import asyncio
import io
import json
from collections import Counter
from collections.abc import Callable

import pytest

from server.refusals import Refusals
from server.settings import Settings
from tests.server.client import Browser
from tests.server.conftest import Serve, Served, lines
from tests.server.test_connections import listening

Log = Callable[..., io.StringIO]
DEFAULT = Settings.model_fields["log_level"].default


def ids(stream: io.StringIO) -> Counter[str]:
    """Count the lines of each request."""
    return Counter(line["request_id"] for line in lines(stream) if "request_id" in line)


async def test_each_refusal_of_a_request_is_in_the_log_with_its_code(
    served: Served, log: Log
) -> None:
    stream = log(DEFAULT)
    asked = (
        ("POST", "/api/sessions", {"sdp": "nonsense", "type": "offer"}, {}),
        ("POST", "/api/sessions", {"type": "offer"}, {}),
        ("GET", "/api/sessions/none", None, {}),
        ("GET", "/no-such-page", None, {}),
        ("GET", "/api/info", None, {"Authorization": "Bearer wrong-wrong-wrong"}),
        ("GET", "/api/info", None, {"Host": "evil.example"}),
        ("DELETE", "/api/sessions/none", None, {"Origin": "http://evil.example"}),
    )
    for method, path, body, headers in asked:
        answer = await served.http.request(method, path, json=body, headers=headers)
        told = answer.json()
        assert told["request_id"] == answer.headers["x-request-id"]
        (line,) = [line for line in lines(stream) if line.get("request_id") == told["request_id"]]
        assert line["message"].endswith(f"refused with {answer.status_code}: {told['code']}")
        assert "none" not in line["message"]  # the route, not the path


async def test_an_engine_that_fails_and_a_full_server_are_in_the_log(
    serve: Serve, log: Log
) -> None:
    async with serve(sessions=1) as served:
        stream = log(DEFAULT)
        browser, other = Browser(), Browser()
        await browser.connect(served.http)
        full = await other.connect(served.http)
        assert (full.status_code, ids(stream)[full.json()["request_id"]]) == (503, 1)
        await browser.close()
        await other.close()


async def test_a_control_message_that_is_refused_is_in_the_log_with_its_session(
    served: Served, log: Log
) -> None:
    stream = log(DEFAULT)
    browser = Browser()
    made = (await browser.connect(served.http)).json()
    for bad in ("{", '{"type": "style", "seq": 1, "style": {"prompt": 5}}'):
        browser.control.send(bad)
        told = await browser.hear("error")
        (line,) = [line for line in lines(stream) if line.get("request_id") == told["id"]]
        assert (line["session"], line["level"]) == (made["id"], "warning")
    browser.say(type="size", seq=2, width=1024, height=1024)
    told = await browser.hear("error")
    assert ids(stream)[told["id"]] == 1
    await browser.close()


async def test_a_connection_too_many_is_in_the_log(serve: Serve, log: Log) -> None:
    async with listening(serve, connections_per_address=1) as port:
        stream = log(DEFAULT)
        _, held = await port.connect()
        reader, writer = await port.connect()
        answer = (await reader.read()).decode()
        assert ids(stream)[json.loads(answer.split("\r\n\r\n")[1])["request_id"]] == 1
        for each in (held, writer):
            each.close()
        await asyncio.sleep(0)


async def test_a_flood_of_strangers_gets_few_lines_and_no_id_that_the_log_lacks(
    serve: Serve, log: Log
) -> None:
    async with serve(bad_tokens_per_minute=1000) as served:
        stream = log(DEFAULT)
        told = set()
        for number in range(200):
            path = ("/api/info", "/api/sessions", "/metrics", "/api/sessions/x")[number % 4]
            wrong = {"Authorization": f"Bearer wrong-wrong-{number}"}
            told.add((await served.http.get(path, headers=wrong)).json()["request_id"])
        assert told == set(ids(stream))
        assert len(told) == 5
        # who has a token is not lost among them
        mine = (await served.http.get("/api/sessions/none")).json()["request_id"]
        assert ids(stream)[mine] == 1


async def test_at_level_info_each_has_its_own_line(served: Served, log: Log) -> None:
    stream = log("info")
    told = [(await served.http.get("/api/sessions/x")).json()["request_id"] for _ in range(20)]
    assert len(set(told)) == 20
    assert set(told) <= set(ids(stream))


def test_what_goes_on_has_a_line_now_and_then_that_counts_the_others(log: Log) -> None:
    stream = log(DEFAULT)
    now = 0.0
    refusals = Refusals(lambda: now)
    told = [refusals.note("full", "refused: full", f"id{number}") for number in range(10)]
    assert told == ["id0", "id1", "id2", "id3", *["id4"] * 6]
    now = 31.0
    assert refusals.note("full", "refused: full", "late") == "late"
    assert lines(stream)[-1]["repeated"] == 5
    assert refusals.note("other", "refused: other", "new") == "new"


@pytest.mark.parametrize("seconds", [1.0, 500.0])
def test_what_programs_wait_for_is_told_once_in_a_long_while(log: Log, seconds: float) -> None:
    stream = log(DEFAULT)
    now = 0.0
    refusals = Refusals(lambda: now)
    for number in range(3):
        now = number * seconds / 2
        refusals.note("loading", "refused: loading", f"id{number}", rarely=True)
    assert len(lines(stream)) == 1
