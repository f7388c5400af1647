"""A source that breaks off is opened again, and its session waits for it."""

import asyncio
import io
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.server.conftest import Serve, lines
from tests.server.players import live
from tests.streams.clicks import film
from tests.streams.ports import free_port
from tests.streams.waiting import PATIENCE, eventually


@contextmanager
def camera(path: Path, port: int, seconds: float) -> Iterator[None]:
    """Send a film of so many seconds at its pace to whoever asks, without telling its length."""
    data, gone = path.read_bytes(), threading.Event()
    step = len(data) // round(seconds * 20)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "video/mp2t")
            self.end_headers()
            for start in range(0, len(data), step):
                if gone.wait(0.05):
                    return
                self.wfile.write(data[start : start + step])

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield
    finally:
        gone.set()
        server.shutdown()
        server.server_close()
        thread.join()


async def state(http: httpx.AsyncClient, path: str, wanted: str) -> dict[str, Any]:
    """Wait until the source is in this state; give the session's."""
    async with asyncio.timeout(PATIENCE):
        while True:
            found: dict[str, Any] = (await http.get(path)).json()
            if found["source"]["state"] == wanted:
                return found
            await asyncio.sleep(0.05)


@pytest.mark.slow
async def test_a_camera_that_goes_and_comes_back_keeps_its_session(
    serve: Serve, tmp_path: Path, log: Callable[..., io.StringIO]
) -> None:
    stream = log("warning")
    film(tmp_path / "live.ts", 20, keys=10)
    port = free_port()
    url = f"http://127.0.0.1:{port}/"
    async with serve(source_urls=[url], no_media_s=1) as served:
        with camera(tmp_path / "live.ts", port, 20):
            wanted = {"kind": "url", "at": f"{url}live.ts?key=secret"}
            made = await served.http.post("/api/sources", json=wanted)
            assert made.status_code == 201, made.text
            path = made.headers["location"]
            await live(served.http, made.json()["id"])
        away = await state(served.http, path, "retrying")
        assert away["source"]["problem"].startswith("http://127.0.0.1/live.ts: it ")
        assert "secret" not in away["source"]["problem"]
        ids = [line.get("request_id") for line in lines(stream)]
        assert away["source"]["problem_id"] in ids
        await asyncio.sleep(1.5)  # longer than one without a source may be silent
        assert served.sessions == 1
        with camera(tmp_path / "live.ts", port, 20):
            back = await state(served.http, path, "live")
            assert back["source"]["losses"] >= 1
            began = back["stats"]["frames_in"]

            async def more() -> bool:
                stats = (await served.http.get(path)).json()["stats"]
                return bool(stats["frames_in"] > began)

            await eventually(more)
            assert (await served.http.delete(path)).status_code == 200
            assert served.sessions == 0


@pytest.mark.slow
async def test_a_session_whose_source_stays_away_ends_in_the_end(
    serve: Serve, tmp_path: Path
) -> None:
    film(tmp_path / "live.ts", 2, keys=10)
    port = free_port()
    url = f"http://127.0.0.1:{port}/"
    async with serve(source_urls=[url], source_away_s=1) as served:
        with camera(tmp_path / "live.ts", port, 2):
            made = await served.http.post("/api/sources", json={"kind": "url", "at": url})
            assert made.status_code == 201, made.text
            await state(served.http, made.headers["location"], "retrying")
        await eventually(lambda: not served.sessions)  # and not the ten minutes of the default
