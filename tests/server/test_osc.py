"""OSC in: packets as control surfaces send them, and packets that are none."""

import asyncio
import socket
import struct
import time
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from pipeline.params import StyleParams
from server.app import create_app
from server.osc import Osc, OscError, bind, parse_packet, style_change
from server.settings import Settings
from streams.worker import Worker
from tests.server.client import Browser
from tests.server.conftest import TOKEN, Serve, Served
from tests.streams.fakes import FakeEngine
from tests.streams.ports import free_port
from tests.streams.waiting import PATIENCE, eventually

__all__ = ["Serve"]


def text(value: str) -> bytes:
    raw = value.encode() + b"\0"
    return raw + b"\0" * (-len(raw) % 4)


def message(address: str, tags: str, *values: bytes) -> bytes:
    return text(address) + text("," + tags) + b"".join(values)


def number(value: float) -> bytes:
    return struct.pack(">f", value)


def bundle(*packets: bytes) -> bytes:
    sized = b"".join(struct.pack(">i", len(packet)) + packet for packet in packets)
    return b"#bundle\0" + struct.pack(">Q", 1) + sized


STRENGTH = message("/restyle/strength", "f", number(0.25))


def test_a_packet_is_read() -> None:
    # the example of the OSC 1.0 specification
    given = bytes.fromhex("2f6f7363696c6c61746f722f342f6672657175656e6379002c66000043dc0000")
    assert parse_packet(given) == [("/oscillator/4/frequency", [440.0])]
    mixed = message("/a", "isTFdh", struct.pack(">i", -7), text("ink"), struct.pack(">dq", 0.5, 9))
    assert parse_packet(mixed) == [("/a", [-7, "ink", True, False, 0.5, 9])]
    assert len(parse_packet(bundle(STRENGTH, bundle(STRENGTH, mixed)))) == 3
    assert parse_packet(bundle()) == []


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0",
        b"GET / HTTP/1.1",
        b"/restyle/strength",
        text("/restyle/strength"),
        message("/restyle/strength", "f")[:-1],
        message("/restyle/strength", "f", b"\0\0"),
        message("/restyle/strength", "x"),
        text("/a") + text("f") + number(1),
        b"/\xff\xff\0" + text(",f") + number(1),
        bundle(STRENGTH)[:-1],
        b"#bundle\0" + b"\0" * 8 + struct.pack(">i", -4),
        b"#bundle\0" + b"\0" * 8 + struct.pack(">i", 2**31 - 1),
        bundle(bundle(bundle(bundle(bundle(STRENGTH))))),
    ],
)
def test_what_is_no_packet_is_refused(data: bytes) -> None:
    with pytest.raises(OscError):
        parse_packet(data)


@pytest.mark.parametrize(
    ("address", "value", "change"),
    [
        ("/restyle/strength", 0.25, ("", {"strength": 0.25})),
        ("/restyle/strength", 1, ("", {"strength": 1.0})),
        ("/restyle/steps", 3.0, ("", {"steps": 3})),  # a fader has no whole numbers
        ("/restyle/bypass", 1.0, ("", {"bypass": True})),
        ("/restyle/bypass", 0, ("", {"bypass": False})),
        ("/restyle/prompt", "ink", ("", {"prompt": "ink"})),
        ("/restyle/abc-1/noise", "warped", ("abc-1", {"noise": "warped"})),
    ],
)
def test_a_message_changes_one_value(address: str, value: float | str, change: object) -> None:
    assert style_change(address, [value]) == change


@pytest.mark.parametrize(
    ("address", "arguments"),
    [
        ("/restyle/strength", [1.5]),
        ("/restyle/strength", [float("nan")]),
        ("/restyle/strength", ["much"]),
        ("/restyle/strength", []),
        ("/restyle/strength", [0.5, 0.5]),
        ("/restyle/steps", [2.5]),
        ("/restyle/bypass", [2]),
        ("/restyle/prompt", ["x" * 501]),
        ("/restyle/token", ["x"]),
        ("/restyle", [1]),
        ("restyle/strength", [1]),
        ("/other/strength", [1]),
        ("/restyle/a/b/strength", [1]),
    ],
)
def test_a_message_that_says_nothing_of_the_style_is_refused(
    address: str, arguments: list[float | str]
) -> None:
    with pytest.raises(OscError):
        style_change(address, list(arguments))


@pytest.fixture
async def heard(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[Served, int]]:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    port = free_port()
    worker = Worker(FakeEngine)
    settings = Settings(token=TOKEN, sessions=4, osc=port)
    app = create_app(settings, worker, client=tmp_path, osc=bind(settings.osc))
    async with app.router.lifespan_context(app):
        worker.ready.exception(PATIENCE)
        served = Served(app, worker, [])
        yield served, port
        await served.http.aclose()


async def test_packets_change_the_session_and_its_page_hears_of_it(
    heard: tuple[Served, int],
) -> None:
    served, port = heard
    browser = Browser()
    made = (await browser.connect(served.http)).json()
    await browser.level()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as surface:
        surface.connect(("127.0.0.1", port))
        surface.send(b"nonsense")
        surface.send(message("/restyle/strength", "f", number(7)))
        surface.send(message("/restyle/gone/strength", "f", number(0.1)))
        for step in range(50):  # a fader that is moved
            surface.send(message("/restyle/strength", "f", number(step / 64)))
        surface.send(message(f"/restyle/{made['id']}/prompt", "s", text("ink")))

    async with asyncio.timeout(PATIENCE):
        changed = await browser.hear("changed")
        while changed["style"]["prompt"] != "ink":
            changed = await browser.hear("changed")
    assert changed["style"]["strength"] == 49 / 64
    state = (await served.http.get(f"/api/sessions/{made['id']}")).json()
    assert state["style"]["strength"] == 49 / 64
    figures = (await served.http.get("/metrics")).text
    assert 'restyle_osc_messages_total{result="used"} 52.0' in figures
    assert 'restyle_osc_messages_total{result="ignored"} 2.0' in figures
    await browser.close()


def test_a_taken_port_is_told_with_a_way_out() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", 0))
        port = other.getsockname()[1]
        with pytest.raises(OSError, match=f"UDP port {port}.*--osc"):
            bind(port)
    assert bind(0) is None


async def test_a_session_that_ends_under_a_change_leaves_the_others_their_knobs(
    serve: Serve,
) -> None:
    class Slow(FakeEngine):
        def prepare(self, params: StyleParams) -> str | None:
            time.sleep(0.5 if params.prompt == "slow" else 0)
            return None

    async with serve(Slow) as served:
        sessions = served.app.state.context.sessions
        osc = Osc(sessions, Counter(), Settings())
        leaves, stays = Browser(), Browser()
        await leaves.connect(served.http)
        await stays.connect(served.http)
        first, second = sessions
        osc.datagram_received(message(f"/restyle/{first.id}/prompt", "s", text("slow")), None)
        await asyncio.sleep(0.1)
        sessions.end(first, "deleted")
        osc.datagram_received(message("/restyle/strength", "f", struct.pack(">f", 0.25)), None)
        await eventually(lambda: second.control.style.strength == 0.25)
        await leaves.close()
        await stays.close()
