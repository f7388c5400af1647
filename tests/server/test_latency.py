"""The latency command: what it says when it cannot measure, and how it splits the time."""

import importlib
import socketserver
import threading
from types import ModuleType
from typing import Any

import pytest

from server import chromium
from server.asking import Asking, AskingError
from server.latency import bench_latency, split
from server.settings import Settings
from tests.streams.ports import free_port


def nowhere() -> Asking:
    return Asking(Settings(token="a-token-of-these-tests"), f"http://127.0.0.1:{free_port()}")


def test_without_a_server_it_says_so() -> None:
    with pytest.raises(AskingError, match="nobody answers as a Restyle server would"):
        bench_latency(nowhere(), 5, None, lambda step: None)


def test_a_server_that_speaks_no_http_is_told_as_none() -> None:
    class Talker(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.recv(4096)
            self.request.sendall(b"SSH-2.0-hello\r\n")

    with socketserver.TCPServer(("127.0.0.1", 0), Talker) as talker:
        answering = threading.Thread(target=talker.handle_request)
        answering.start()
        asking = Asking(
            Settings(token="a-token-of-these-tests"), f"http://127.0.0.1:{talker.server_address[1]}"
        )
        with pytest.raises(AskingError, match="nobody answers as a Restyle server would"):
            asking.get("info")
        answering.join()


@pytest.mark.parametrize("seconds", [0.5, 601, float("nan")])
def test_it_says_how_long_it_may_take(seconds: float) -> None:
    with pytest.raises(AskingError, match="1 to 600"):
        bench_latency(nowhere(), seconds, None, lambda step: None)


async def test_without_playwright_it_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> ModuleType:
        raise ImportError(name)

    monkeypatch.setattr(importlib, "import_module", missing)
    with pytest.raises(chromium.NoBrowser, match="pip install playwright"):
        async with chromium.chromium(None):
            pass


@pytest.mark.slow
async def test_without_a_chromium_it_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    monkeypatch.setenv("PLAYWRIGHT_BROWSERS_PATH", str(tmp_path))
    monkeypatch.setattr(chromium, "find_chromium", lambda named: None)
    with pytest.raises(chromium.NoBrowser, match="playwright install chromium"):
        async with chromium.chromium(None):
            pass


def test_what_is_not_known_of_the_way_is_told_as_one() -> None:
    shown = [[100.0 * n, 100.0 * n + 70, 100.0 * n + 90] for n in range(20)]
    means = {"encode": 5.0, "round_trip": 2.0, "buffer": 8.0, "decode": 1.0}
    stages = {"wait": 3.0, "convert_in": 1.0, "unet": 20.0, "decode": 4.0, "convert_out": 1.0}
    stats = {"age_ms": {"p50": 40.0, "p95": 50.0}, "stages_ms": stages}
    assert split(shown, means, stats) == {
        "glass_to_glass_ms": {"p50": 90.0, "p95": 90.0},
        "drawn_to_back_ms": {
            "p50": 70.0, "p95": 70.0, "browser_encode": 5.0, "network_both_ways": 2.0,
            "server": 40.0, "capture_and_server_codecs": 23.0,
        },
        "server_ms": {"p50": 40.0, "p95": 50.0, "queue": 3.0, "convert": 2.0, "model": 24.0},
        "back_to_shown_ms": {
            "p50": 20.0, "p95": 20.0, "browser_buffer": 8.0, "browser_decode": 1.0,
        },
    }  # fmt: skip


def test_a_picture_that_never_came_back_gives_no_percentiles() -> None:
    means = {"encode": 0.0, "round_trip": 0.0, "buffer": 0.0, "decode": 0.0}
    told = split([], means, {"age_ms": {"p50": None, "p95": None}, "stages_ms": {}})
    assert told["glass_to_glass_ms"] == {}
