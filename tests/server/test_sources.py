"""Sessions whose pictures the server finds by itself."""

import asyncio
import shutil
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from functools import partial
from http.server import SimpleHTTPRequestHandler
from pathlib import Path
from typing import Any

import cv2
import httpx
import numpy as np
import pytest

from streams.sinks.recorder import Recorder
from streams.sources.media import Media
from streams.sources.place import Place, open_place
from tests.e2e.serving import site
from tests.server.conftest import Serve
from tests.server.players import Player, live
from tests.streams.pictures import frame
from tests.streams.waiting import PATIENCE, eventually


def film(path: Path, levels: list[int]) -> None:
    recorder = Recorder(path, Fraction(25))
    for number, level in enumerate(levels):
        recorder.write(frame(number, level).picture)
    recorder.close()


@pytest.fixture(scope="module")
def originals(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a folder of films and images once."""
    files = tmp_path_factory.mktemp("originals")
    film(files / "film.mp4", [60] * 25)
    film(files / "steps.mp4", [20 * (number // 25) for number in range(250)])  # by second
    cv2.imwrite(str(files / "still.png"), np.full((64, 64, 3), 60, np.uint8))
    (files / "text.mp4").write_text("hello")
    (files / "list.m3u8").write_text("#EXTM3U\n#EXTINF:1,\nfilm.mp4\n#EXT-X-ENDLIST\n")
    return files


@pytest.fixture
def folder(originals: Path, tmp_path: Path) -> Path:
    """Give a copy of them, with a link that leads out of it."""
    files = shutil.copytree(originals, tmp_path / "sources")
    (tmp_path / "secret.mp4").write_bytes((files / "film.mp4").read_bytes())
    (files / "link.mp4").symlink_to(tmp_path / "secret.mp4")
    return files


async def open_source(http: httpx.AsyncClient, kind: str, at: str) -> httpx.Response:
    return await http.post("/api/sources", json={"kind": kind, "at": at})


async def watched(http: httpx.AsyncClient, made: dict[str, Any]) -> float:
    """Give the grey level that a viewer sees."""
    await live(http, made["id"])
    player = Player()
    assert (await player.watch(http, made["id"], made["viewer_token"])).status_code == 201
    level = (await player.levels(3))[-1]
    await player.close()
    return level


@pytest.mark.parametrize(("kind", "at"), [("file", "film.mp4"), ("image", "still.png")])
async def test_a_file_and_a_still_image_go_on_without_end(
    kind: str, at: str, folder: Path, serve: Serve
) -> None:
    async with serve(source_folder=folder) as served:
        answer = await open_source(served.http, kind, at)
        assert answer.status_code == 201, answer.text
        assert abs(await watched(served.http, answer.json()) - 195) < 8
        path = answer.headers["location"]

        async def goes_on() -> bool:  # the film has 25 frames
            stats = (await served.http.get(path)).json()["stats"]
            return bool(stats["frames_in"] > 30)

        await eventually(goes_on)
        assert (await served.http.delete(path)).status_code == 200
        assert served.sessions == 0


async def test_another_source_keeps_style_viewers_and_outputs(folder: Path, serve: Serve) -> None:
    cv2.imwrite(str(folder / "bright.png"), np.full((96, 128, 3), 200, np.uint8))
    async with serve(source_folder=folder, recordings=folder / "films") as served:
        made = (await open_source(served.http, "file", "film.mp4")).json()
        path = f"/api/sessions/{made['id']}"
        await served.http.patch(path, json={"strength": 0.3})
        await live(served.http, made["id"])
        player = Player()
        assert (await player.watch(served.http, made["id"], made["viewer_token"])).is_success
        await player.shows(195)
        output = await served.http.post(f"{path}/outputs", json={"kind": "recording"})

        for at, status, code in (
            ("nowhere.png", 422, "source_failed"),
            ("text.mp4", 422, "source_failed"),
            ("../secret.mp4", 403, "source_not_allowed"),
        ):
            wrong = await served.http.put(f"{path}/source", json={"kind": "image", "at": at})
            assert (wrong.status_code, wrong.json()["code"]) == (status, code)
            assert str(folder) not in wrong.json()["detail"]
        before = (await served.http.get(path)).json()
        await player.shows(195)
        assert before["source"]["at"] == "film.mp4"

        wanted = {"kind": "image", "at": "bright.png"}
        answer = await served.http.put(f"{path}/source", json=wanted)
        nothing = {
            "position": None,
            "duration": None,
            "loop": None,
            "problem": None,
            "problem_id": None,
        }
        assert answer.json() == wanted | nothing | {"sound": False, "state": "live", "losses": 0}
        assert [t.name for t in threading.enumerate()].count("source") == 1  # the old one is gone
        await player.shows(55)
        after = (await served.http.get(path)).json()
        assert (after["style"]["strength"], after["viewers"]) == (0.3, 1)
        assert after["stats"]["frames_in"] > before["stats"]["frames_in"]
        frames = (await served.http.delete(output.headers["location"])).json()["frames"]
        assert frames > 0
        await player.close()
        assert (await served.http.delete(path)).status_code == 200


async def test_a_file_can_be_sought_in_and_ends_the_session_when_it_does_not_loop(
    folder: Path, serve: Serve
) -> None:
    async with serve(source_folder=folder) as served:
        wanted = {"kind": "file", "at": "steps.mp4", "begin": 4.0, "loop": False}
        made = (await served.http.post("/api/sources", json=wanted)).json()
        path = f"/api/sessions/{made['id']}"
        player = Player()
        await live(served.http, made["id"])
        assert (await player.watch(served.http, made["id"], made["viewer_token"])).is_success
        first = (await player.levels(1))[0]
        assert abs(first - (255 - 80)) < 8 or abs(first - (255 - 100)) < 8

        async def seek(**patch: object) -> httpx.Response:
            return await served.http.patch(f"{path}/source", json=patch)

        state = (await seek(position=1.0, loop=True)).json()
        assert (state["at"], state["loop"]) == ("steps.mp4", True)
        assert state["duration"] == pytest.approx(10, abs=0.1)
        await player.shows(255 - 20)
        state = (await seek()).json()
        assert 1 <= state["position"] < 6

        late = await seek(position=10.5)
        assert (late.status_code, late.json()["code"]) == (422, "source_failed")
        assert late.json()["detail"] == "steps.mp4: 10.5 s given; it has 10.0 s"
        assert (await seek(position=-1)).status_code == 422
        assert (await seek(position=9.5, loop=False)).status_code == 200
        await eventually(lambda: not served.sessions)
        await player.close()


async def test_what_is_no_file_cannot_be_sought_in(folder: Path, serve: Serve) -> None:
    async with serve(source_folder=folder) as served:
        wanted = {"kind": "image", "at": "still.png"}
        begun = await served.http.post("/api/sources", json=wanted | {"begin": 2})
        assert (begun.status_code, begun.json()["code"]) == (422, "source_failed")
        made = (await served.http.post("/api/sources", json=wanted)).json()
        path = f"/api/sessions/{made['id']}/source"
        refused = await served.http.patch(path, json={"loop": False})
        assert (refused.status_code, refused.json()["code"]) == (409, "not_a_file")


@contextmanager
def http_camera(folder: Path, asked: list[str] | None = None) -> Iterator[str]:
    """Serve a folder. /moved/FILE leads to /FILE; `asked` takes the paths that were asked for."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None: ...

        def do_GET(self) -> None:
            if asked is not None:
                asked.append(self.path)
            if not self.path.startswith("/moved/"):
                super().do_GET()
                return
            self.send_response(302)
            self.send_header("Location", self.path.removeprefix("/moved"))
            self.send_header("Content-Length", "0")
            self.end_headers()

    with site(partial(Quiet, directory=str(folder))) as origin:
        yield origin


async def test_an_address_that_is_allowed_is_pulled_and_its_end_ends_the_session(
    folder: Path, serve: Serve
) -> None:
    with http_camera(folder) as url:
        async with serve(source_urls=[url]) as served:
            answer = await open_source(served.http, "url", f"{url}/film.mp4")
            assert answer.status_code == 201, answer.text
            (session,) = served.app.state.context.sessions
            began = time.monotonic()
            await eventually(lambda: not served.sessions)
            assert session.stats.frames_in == 25
            assert time.monotonic() - began > 0.8  # the film has a second, however fast it comes


async def test_a_redirect_is_not_followed(folder: Path, serve: Serve) -> None:
    """Not even to what is allowed: an address is checked once, before anything is asked."""
    asked: list[str] = []
    with http_camera(folder, asked) as url:
        async with serve(source_urls=[url]) as served:
            answer = await open_source(served.http, "url", f"{url}/moved/film.mp4")
            assert (answer.status_code, answer.json()["code"]) == (422, "source_failed")
            assert "not reached" in answer.json()["detail"]
            assert served.sessions == 0
    assert set(asked) == {"/moved/film.mp4"}


@pytest.mark.parametrize(
    ("kind", "at"),
    [
        ("url", "http://127.0.0.1:9/elsewhere/film.mp4"),
        ("url", "http://127.0.0.1:9/cameras/../film.mp4"),
        ("url", "http://127.0.0.1:9/cameras/%2e%2e/film.mp4"),
        ("url", "http://127.0.0.1:9/cameras/..\\film.mp4"),
        ("url", "http://127.0.0.1:9/camerasque/film.mp4"),
        ("url", "http://127.0.0.1.evil.example:9/cameras/film.mp4"),
        ("url", "http://127.0.0.1:9@evil.example/cameras/film.mp4"),
        ("url", "srt://127.0.0.1:9"),
        ("url", "srt://127.0.0.1:9?streamid=other&x=streamid=cam"),
        ("url", "srt://127.0.0.1:10?streamid=cam"),
        ("url", "file:///etc/passwd"),
        ("url", "concat:/etc/passwd|/etc/hosts"),
        ("device", "/dev/video9"),
        ("file", "../secret.mp4"),
        ("file", "/etc/passwd"),
        ("file", "link.mp4"),
    ],
)
async def test_what_no_setting_allows_is_refused(
    kind: str, at: str, folder: Path, serve: Serve
) -> None:
    allowed = {
        "source_urls": ["http://127.0.0.1:9/cameras/", "srt://127.0.0.1:9?streamid=cam"],
        "source_folder": folder,
        "source_devices": ["/dev/video0"],
    }  # fmt: skip
    async with serve(**allowed) as served:
        answer = await open_source(served.http, kind, at)
        assert (answer.status_code, answer.json()["code"]) == (403, "source_not_allowed")
        assert served.sessions == 0


async def test_nothing_is_allowed_by_default(serve: Serve) -> None:
    async with serve() as served:
        for kind in ("file", "image", "url", "device"):
            answer = await open_source(served.http, kind, "x")
            assert answer.status_code == 403
            assert "RESTYLE_SOURCE_" in answer.json()["detail"]


async def test_what_gives_no_picture_is_told_and_leaves_nothing(folder: Path, serve: Serve) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        nobody = f"rtmp://user:secret@127.0.0.1:{closed.getsockname()[1]}/live"
    srt = "srt://127.0.0.1:9"
    whole = (folder / "still.png").read_bytes()
    (folder / "cut.png").write_bytes(whole[: len(whole) // 2])
    async with serve(
        source_folder=folder, source_urls=[nobody, srt], source_devices=["/dev/video99"]
    ) as served:
        for kind, at, words in (
            ("file", "nowhere.mp4", "no such file"),
            ("file", "text.mp4", "no video or image that can be read"),
            ("file", "list.m3u8", "no video or image that can be read"),
            ("file", "x" * 300, "File name too long"),
            ("image", "cut.png", "no picture in it could be decoded"),
            ("url", nobody, "not reached"),
            ("url", f"{srt}?passphrase=secret", "passphrase: 10 to 79 characters"),
            ("device", "/dev/video99", "cannot be opened"),
        ):
            answer = await open_source(served.http, kind, at)
            assert (answer.status_code, answer.json()["code"]) == (422, "source_failed"), at
            assert answer.json()["detail"].count(at if kind != "url" else "127.0.0.1") == 1
            assert words in answer.json()["detail"], answer.text
            assert "secret" not in answer.json()["detail"]
            assert served.sessions == 0


async def test_no_path_at_all_is_told(folder: Path, serve: Serve) -> None:
    async with serve(source_folder=folder) as served:
        answer = await open_source(served.http, "file", "a\0b")
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid")


async def test_a_session_that_ends_while_its_source_is_opened_leaves_no_source(
    folder: Path, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slowly(place: Place) -> Media:
        time.sleep(0.5)
        return open_place(place)

    monkeypatch.setattr("streams.sources.server.open_place", slowly)
    async with serve(source_folder=folder) as served:
        opening = asyncio.create_task(open_source(served.http, "file", "film.mp4"))
        await eventually(lambda: served.sessions > 0)
        (session,) = served.app.state.context.sessions
        assert (await served.http.delete(f"/api/sessions/{session.id}")).status_code == 200

        answer = await asyncio.wait_for(opening, PATIENCE)
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
        await eventually(lambda: "source" not in [each.name for each in threading.enumerate()])
