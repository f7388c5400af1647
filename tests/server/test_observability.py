"""What operators see: figures, logs, `restyle top`."""

import asyncio
import json
import logging
import re
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from server.asking import Asking, AskingError
from server.settings import Settings
from server.top import table, top
from tests.server.client import Browser
from tests.server.conftest import TOKEN, Serve, Served, lines
from tests.streams.ports import free_port
from tests.streams.test_live_stream import KEY
from tests.streams.waiting import PATIENCE

CANARY = "canary-prompt-of-this-test"


async def scrape(served: Served) -> dict[tuple[str, tuple[str, ...]], float]:
    answer = await served.http.get("/metrics")
    assert answer.status_code == 200
    return {
        (sample.name, tuple(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


async def test_figures_follow_a_session_and_counters_never_fall(served: Served) -> None:
    browser = Browser()
    location = (await browser.connect(served.http)).headers["location"]
    for _ in range(5):
        await browser.level()
    live = await scrape(served)
    await served.http.delete(location)
    after = await scrape(served)
    await browser.close()

    assert live["restyle_ready", ()] == 1
    assert live["restyle_slots", ()] == 4
    assert live["restyle_sessions", ("live",)] == 1
    assert after["restyle_sessions", ("live",)] == 0
    assert live["restyle_frames_out_total", ()] >= 5
    assert after["restyle_frames_out_total", ()] >= live["restyle_frames_out_total", ()]
    assert 0 < live["restyle_frame_age_seconds", ("0.95",)] < 5
    assert live["restyle_stage_seconds", ("unet",)] == pytest.approx(0.001)
    assert after["restyle_sessions_ended_total", ("deleted",)] == 1
    assert after["restyle_http_answers_total", ("POST", "201")] == 1
    assert live["restyle_info", _info(live)] == 1


def _info(found: dict[tuple[str, tuple[str, ...]], float]) -> tuple[str, ...]:
    return next(labels for name, labels in found if name == "restyle_info")


async def test_frames_that_fail_are_counted(served: Served) -> None:
    browser = Browser()
    await browser.connect(served.http, prompt="fail")
    await browser.level()
    assert (await scrape(served))["restyle_frames_failed_total", ()] >= 1
    await browser.close()


async def test_outputs_are_counted_by_kind_and_state_without_where_they_go(
    serve: Serve, tmp_path: Path
) -> None:
    port = free_port()  # nobody is there
    target = f"rtmp://127.0.0.1:{port}"
    async with serve(recordings=tmp_path / "films", stream_targets=[target]) as served:
        browser = Browser()
        location = (await browser.connect(served.http)).headers["location"]
        wanted = [{"kind": "recording"}, {"kind": "rtmp", "url": f"{target}/live", "key": KEY}]
        for each in wanted:
            await served.http.post(f"{location}/outputs", json=each)
        async with asyncio.timeout(PATIENCE):
            while (live := await scrape(served))["restyle_outputs", ("rtmp", "retrying")] != 1:
                await browser.level()
        text = (await served.http.get("/metrics")).text
        await served.http.delete(location)
        await asyncio.gather(*served.app.state.context.sessions._closing)
        after = await scrape(served)
        await browser.close()

    assert live["restyle_outputs", ("recording", "live")] == 1
    assert live["restyle_output_losses_total", ("rtmp",)] >= 1
    assert after["restyle_outputs", ("recording", "live")] == 0
    for count in ("restyle_output_frames_total", "restyle_output_bytes_total"):
        assert after[count, ("recording",)] >= live[count, ("recording",)]
        assert after[count, ("recording",)] > 0
    assert after["restyle_outputs_started_total", ("rtmp",)] == 1
    for secret in (KEY, str(port), "127.0.0.1", location.rsplit("/", 1)[1]):
        assert secret not in text


async def test_process_figures_are_there(served: Served) -> None:
    found = await scrape(served)
    assert found["restyle_threads", ()] >= 2
    assert found["process_resident_memory_bytes", ()] > 1e6
    assert found["process_open_fds", ()] > 3
    p99, longest = (found["restyle_loop_lag_seconds", (each,)] for each in ("0.99", "1"))
    assert 0 <= p99 <= longest
    assert found["restyle_child_resident_bytes", ("engine",)] == 0  # here it is in the process
    assert found["restyle_tasks", ()] >= 3  # deadlines, the loop's lateness, this request


async def test_peer_connections_are_counted_until_they_are_given_back(served: Served) -> None:
    browser = Browser()
    location = (await browser.connect(served.http)).headers["location"]
    await browser.level()
    live = await scrape(served)
    await served.http.delete(location)
    closing = await scrape(served)
    await asyncio.gather(*served.app.state.context.sessions._closing)
    after = await scrape(served)
    await browser.close()
    assert [each["restyle_peers", ()] for each in (live, after)] == [1, 0]
    assert closing["restyle_peers", ()] <= 1
    assert after["restyle_tasks", ()] <= live["restyle_tasks", ()]


async def test_each_line_names_its_request_and_session(served: Served, log: Any) -> None:
    stream = log("info")
    browser = Browser()
    made = await browser.connect(served.http)
    refused = await served.http.post("/api/sessions", json={"sdp": "x", "type": "offer"})
    await served.http.delete(made.headers["location"])
    await browser.close()

    told = lines(stream)
    opened = next(line for line in told if line["message"].endswith("opened"))
    assert opened["session"] == made.json()["id"]
    assert opened["request_id"] == made.headers["x-request-id"]
    answers = {
        line["request_id"]: line["message"] for line in told if "answered" in line["message"]
    }
    assert "answered 400" in answers[refused.json()["request_id"]]
    assert any("ends: deleted" in line["message"] for line in told)


async def test_no_secret_stands_in_the_log_of_a_whole_session(serve: Serve, log: Any) -> None:
    stream = log("debug")
    async with serve() as served:
        browser = Browser()
        made = await browser.connect(served.http, prompt=CANARY)
        location = made.headers["location"]
        await browser.level()
        browser.say(type="style", seq=1, style={"prompt": CANARY + "2"})
        await browser.hear("applied")
        browser.say(type="style", seq=2, style={"prompt": CANARY, "strength": 9})
        await browser.hear("error")
        await served.http.patch(location, json={"negative_prompt": CANARY})
        await served.http.patch(location, json={"prompt": CANARY * 50})
        await served.http.get(f"/api/sessions/{CANARY}?prompt={CANARY}")
        await served.http.get("/api/info", headers={"Authorization": "Bearer wrong-" + CANARY})
        served.app.state.print_link()
        code = served.lines[-1].split("#code=")[1]
        await served.http.post("/api/token", json={"code": code})
        await served.http.post("/api/sessions", json={"sdp": f"v=0\r\n{CANARY}", "type": "offer"})
        await served.http.delete(location)
        offer = browser.connection.localDescription.sdp
        await browser.close()

    text = "\n".join(
        line for line in stream.getvalue().splitlines() if '"logger": "httpx' not in line
    )  # without the client, which logs what it asks for
    assert made.json()["id"] in text  # it is the log of this session
    fingerprint = re.findall(r"a=fingerprint:sha-256 (\S+)", offer)[0]
    password = re.findall(r"a=ice-pwd:(\S+)", offer)[0]
    for secret in (CANARY, TOKEN, made.json()["token"], code, fingerprint, password):
        assert secret not in text


async def test_the_text_of_an_error_is_for_debugging_only(served: Served, log: Any) -> None:
    stream = log("warning")
    try:
        raise ValueError(f"cannot encode {CANARY}")
    except ValueError:
        logging.getLogger("server.tests").exception("it failed")
    (line,) = lines(stream)
    assert CANARY not in stream.getvalue()
    assert line["exception"].endswith("ValueError")
    assert "test_observability.py" in line["exception"]


def test_a_warning_is_written_once_a_second_and_the_rest_are_counted(log: Any) -> None:
    stream = log("info")
    logger = logging.getLogger("server.tests")
    for number in range(100):
        record = logger.makeRecord(logger.name, logging.WARNING, "", 0, "frame %d", (number,), None)
        record.created = 1000 + number / 50
        logger.handle(record)
    told = lines(stream)
    assert [line["message"] for line in told] == ["frame 0", "frame 50"]
    assert told[1]["repeated"] == 49


async def test_top_lays_out_what_the_server_says(served: Served) -> None:
    browser = Browser()
    made = await browser.connect(served.http)
    await browser.level()
    found = {name: (await served.http.get(f"/api/{name}")).json() for name in ("info", "sessions")}
    await browser.close()
    head, _, columns, row = table("http://here", found)
    assert "1 of 4 places" in head
    assert row.split()[:2] == [made.json()["id"][:8], "live"]
    assert len(row.split()) == len(columns.replace("AGE p50", "p50").split())


@pytest.mark.parametrize(
    ("url", "every", "words"),
    [
        ("http://127.0.0.1:9", 1.0, "nobody answers"),
        ("file:///etc/passwd", 1.0, "http or https"),
        ("http://127.0.0.1:9", 0.0, "0.2 to 60"),
    ],
)
def test_top_says_what_is_wrong(url: str, every: float, words: str) -> None:
    with pytest.raises(AskingError, match=words):
        top(Asking(Settings(token=TOKEN), url), every, once=True, as_json=True)


async def test_the_dashboard_asks_for_figures_that_exist(served: Served) -> None:
    dashboard = json.loads((Path(__file__).parents[2] / "docs" / "grafana.json").read_text())
    asked = {
        name
        for panel in dashboard["panels"]
        for target in panel["targets"]
        for name in re.findall(r"(?:restyle|process)_\w+", target["expr"])
    }
    told = (await served.http.get("/metrics")).text
    assert asked
    assert not {name for name in asked if f"# TYPE {name} " not in told}
