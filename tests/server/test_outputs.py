"""Outputs over HTTP: who may, what is told, and that the picture goes on."""

import asyncio
import io
import signal
import sys
import threading
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest

from tests.server.client import Browser
from tests.server.conftest import Serve, Served
from tests.server.players import listening
from tests.streams.pictures import level_of
from tests.streams.ports import free_port
from tests.streams.rtmp_server import rtmp_server
from tests.streams.slow_network import slow_network
from tests.streams.test_live_stream import KEY, ffmpeg, silent_server
from tests.streams.test_output import Memory
from tests.streams.test_recording import frames_of
from tests.streams.waiting import PATIENCE, eventually


async def reaches(served: Served, path: str, **wanted: object) -> dict[str, Any]:
    """Wait until the only output has these values; give its state."""
    async with asyncio.timeout(PATIENCE):
        while True:
            (state,) = (await served.http.get(path)).json()["outputs"]
            if all(state[name] == value for name, value in wanted.items()):
                found: dict[str, Any] = state
                return found
            await asyncio.sleep(0.02)


async def test_a_recording_holds_the_restyled_picture(serve: Serve, tmp_path: Path) -> None:
    async with serve(recordings=tmp_path / "films") as served:
        browser = Browser()
        location = (await browser.connect(served.http)).headers["location"]
        await browser.level()
        begun = await served.http.post(f"{location}/outputs", json={"kind": "recording"})
        assert begun.status_code == 201, begun.text
        assert begun.json()["state"] in ("starting", "live")
        for _ in range(20):
            await browser.level()
        async with asyncio.timeout(PATIENCE):
            while not (told := (await browser.hear("stats"))["outputs"]):
                pass
        assert told[0]["target"] == begun.json()["target"]

        ended = (await served.http.delete(begun.headers["location"])).json()
        assert ended["state"] == "ended"
        assert ended["frames"] >= 20
        assert (await served.http.get(f"{location}/outputs")).json()["outputs"] == []
        assert (await served.http.delete(begun.headers["location"])).status_code == 404

        path = tmp_path / "films" / ended["target"]
        assert len(frames_of(path)) == ended["frames"]
        with av.open(str(path)) as file:
            last = list(file.decode(video=0))[-1]
            assert abs(float(last.to_ndarray(format="rgb24").mean()) - 195) < 8
        await browser.close()


async def test_recordings_are_off_until_a_folder_is_given(served: Served) -> None:
    browser = Browser()
    location = (await browser.connect(served.http)).headers["location"]
    refused = await served.http.post(f"{location}/outputs", json={"kind": "recording"})
    assert (refused.status_code, refused.json()["code"]) == (403, "output_off")
    assert "--recordings" in refused.json()["detail"]
    listed = (await served.http.get(f"{location}/outputs")).json()
    assert listed["outputs"] == []
    assert "--recordings" in listed["kinds"]["recording"]
    await browser.close()


async def test_one_that_cannot_write_says_so_and_the_picture_goes_on(
    serve: Serve, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    async with serve(recordings=tmp_path / "file" / "films") as served:
        browser = Browser()
        location = (await browser.connect(served.http)).headers["location"]
        await served.http.post(f"{location}/outputs", json={"kind": "recording"})
        state = await reaches(served, f"{location}/outputs", state="failed")
        assert "Not a directory" in state["problem"]["detail"]
        assert len(state["problem"]["id"]) == 8
        for _ in range(3):
            assert abs(await browser.level() - 195) < 8
        await browser.close()


async def test_several_record_at_once_up_to_the_limit(serve: Serve, tmp_path: Path) -> None:
    async with serve(recordings=tmp_path / "films", outputs=2) as served:
        browser = Browser()
        location = (await browser.connect(served.http)).headers["location"]
        answers = [
            await served.http.post(f"{location}/outputs", json={"kind": "recording"})
            for _ in range(3)
        ]
        assert [answer.status_code for answer in answers] == [201, 201, 503]
        assert answers[2].json()["code"] == "full"
        await browser.level()
        await served.http.delete(location)  # the session ends: so do they
        await asyncio.gather(*served.app.state.context.sessions._closing)
        for path in (tmp_path / "films").iterdir():
            assert frames_of(path)
        await browser.close()


async def test_an_output_that_ends_has_its_place_until_it_has_written_what_waits(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    going, writes = threading.Event(), threading.Event()

    def hold() -> None:
        writes.set()
        assert going.wait(PATIENCE)

    monkeypatch.setattr("server.output_kinds.VirtualCamera", lambda *_: Memory(hold))
    monkeypatch.setattr("server.output_kinds.virtual_camera_missing", lambda: None)
    async with serve(outputs=1) as served:
        browser = Browser()
        outputs = (await browser.connect(served.http)).headers["location"] + "/outputs"
        begun = await served.http.post(outputs, json={"kind": "virtual_camera"})
        await eventually(writes.is_set)
        ending = asyncio.create_task(served.http.delete(begun.headers["location"]))

        async def none_is_listed() -> bool:
            return not (await served.http.get(outputs)).json()["outputs"]

        await eventually(none_is_listed)
        early = await served.http.post(outputs, json={"kind": "virtual_camera"})
        assert (early.status_code, early.json()["code"]) == (503, "full")
        going.set()
        assert (await ending).json()["state"] == "ended"
        later = await served.http.post(outputs, json={"kind": "virtual_camera"})
        assert later.status_code == 201
        await browser.close()


@pytest.mark.parametrize(
    "body",
    [{}, {"kind": "vhs"}, {"kind": "recording", "path": "/etc/passwd"}, [], "recording"],
    ids=str,
)
async def test_a_wrong_body_is_refused_with_what_is_wrong(served: Served, body: object) -> None:
    browser = Browser()
    location = (await browser.connect(served.http)).headers["location"]
    refused = await served.http.post(f"{location}/outputs", json=body)
    assert (refused.status_code, refused.json()["code"]) == (422, "invalid")
    assert "passwd" not in refused.text
    await browser.close()


@pytest.mark.parametrize("kind", ["png", "jpeg"])
async def test_a_snapshot_is_the_newest_restyled_picture(served: Served, kind: str) -> None:
    browser = Browser()
    location = (await browser.connect(served.http)).headers["location"]
    await browser.level()
    answer = await served.http.get(f"{location}/snapshot?format={kind}")
    assert answer.headers["content-type"] == f"image/{kind}"
    image = cv2.imdecode(np.frombuffer(io.BytesIO(answer.content).read(), np.uint8), 1)
    assert image.shape == (64, 64, 3)
    assert abs(float(image.mean()) - 195) < 8
    await browser.close()


async def test_there_is_no_snapshot_before_the_first_picture(served: Served) -> None:
    browser = Browser()
    browser.camera.paused = True
    location = (await browser.connect(served.http)).headers["location"]
    answer = await served.http.get(f"{location}/snapshot")
    assert (answer.status_code, answer.json()["code"]) == (409, "no_picture")
    assert (await served.http.get(f"{location}/snapshot?format=gif")).status_code == 422
    await browser.close()


async def test_streaming_is_off_until_a_target_is_allowed(served: Served) -> None:
    browser = Browser()
    location = (await browser.connect(served.http)).headers["location"]
    wanted = {"kind": "rtmp", "url": "rtmp://127.0.0.1/live", "key": KEY}
    refused = await served.http.post(f"{location}/outputs", json=wanted)
    assert (refused.status_code, refused.json()["code"]) == (403, "output_off")
    assert "--stream-targets" in refused.json()["detail"]
    await browser.close()


@pytest.mark.parametrize(
    ("wanted", "status", "code"),
    [
        ({"url": f"rtmp://127.0.0.1/other/{KEY}"}, 403, "target_not_allowed"),
        ({"url": "rtmp://evil.example/live", "key": KEY}, 403, "target_not_allowed"),
        ({"url": f"http://127.0.0.1/{KEY}"}, 422, "invalid"),
        ({"url": "rtmp://127.0.0.1/live", "key": f"{KEY} x"}, 422, "invalid"),
        ({"url": "rtmp://127.0.0.1/live", "stream_key": KEY}, 422, "invalid"),
        ({"key": KEY}, 422, "invalid"),
    ],
    ids=str,
)
async def test_a_target_that_is_not_allowed_is_refused_without_its_key(
    serve: Serve, wanted: dict[str, str], status: int, code: str
) -> None:
    async with serve(stream_targets=["rtmp://127.0.0.1/live"]) as served:
        browser = Browser()
        location = (await browser.connect(served.http)).headers["location"]
        refused = await served.http.post(f"{location}/outputs", json={"kind": "rtmp"} | wanted)
        assert (refused.status_code, refused.json()["code"]) == (status, code)
        assert KEY not in refused.text
        await browser.close()


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ({"url": "rtmp://127.0.0.1/live"}, "url: rtmp:// given; srt wanted"),
        ({"url": "srt://127.0.0.1:9", "passphrase": KEY[:9]}, "passphrase: 10 to 79 characters"),
        ({"url": "srt://127.0.0.1:8"}, "is not in --stream-targets"),
    ],
    ids=str,
)
async def test_srt_is_checked_like_the_rest(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, wanted: dict[str, str], said: str
) -> None:
    monkeypatch.setattr("server.output_kinds.libsrt", lambda: "installed")
    async with serve(stream_targets=["rtmp://127.0.0.1/live", "srt://127.0.0.1:9"]) as served:
        browser = Browser()
        location = (await browser.connect(served.http)).headers["location"]
        refused = await served.http.post(f"{location}/outputs", json={"kind": "srt"} | wanted)
        assert refused.status_code in (403, 422)
        assert said in refused.json()["detail"]
        monkeypatch.setattr("server.output_kinds.libsrt", lambda: None)
        refused = await served.http.post(f"{location}/outputs", json={"kind": "srt"} | wanted)
        assert (refused.status_code, refused.json()["code"]) == (403, "output_off")
        assert "apt install libsrt" in refused.json()["detail"]
        await browser.close()


@pytest.mark.slow
async def test_ffmpeg_receives_a_session_and_the_key_is_told_nowhere(
    serve: Serve, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    port, path = free_port(), tmp_path / "received.mkv"
    wanted = {"kind": "rtmp", "url": f"rtmp://127.0.0.1:{port}/live", "key": KEY}
    async with serve(stream_targets=[f"rtmp://127.0.0.1:{port}/live"]) as served:
        browser = Browser()
        location = (await browser.connect(served.http)).headers["location"]
        begun = await served.http.post(f"{location}/outputs", json=wanted)
        away = await reaches(served, f"{location}/outputs", state="retrying")
        assert away["problem"]["detail"].startswith("the server cannot be reached")
        assert away["problem"]["id"] in caplog.text
        with ffmpeg(port, path) as receiver:  # it comes late: the next try finds it
            await reaches(served, f"{location}/outputs", state="live")
            for _ in range(60):
                await browser.level()
            ended = (await served.http.delete(begun.headers["location"])).json()
            await asyncio.to_thread(receiver.wait, PATIENCE)
        assert ended["frames"] >= 60
        assert len(frames_of(path)) == ended["frames"]
        assert KEY not in str(away) + str(ended) + begun.text + caplog.text
        await browser.close()


@pytest.mark.slow
async def test_a_silent_server_leaves_the_picture_its_rate(
    serve: Serve,
) -> None:
    with silent_server() as port:
        async with serve(stream_targets=[f"rtmp://127.0.0.1:{port}"]) as served:
            browser = Browser()
            location = (await browser.connect(served.http)).headers["location"]
            await browser.level()
            wanted = {"kind": "rtmp", "url": f"rtmp://127.0.0.1:{port}/live"}
            before = await figures_of(served, location)
            await served.http.post(f"{location}/outputs", json=wanted)
            longest = await longest_freeze(2.5)
            kept_its_rate(before, await figures_of(served, location))
            assert longest < 1.5
            await browser.close()


@pytest.mark.slow
async def test_a_late_line_that_breaks_leaves_the_picture_its_rate_and_ends_when_it_is_told(
    serve: Serve,
) -> None:
    with rtmp_server(KEY) as there:
        async with slow_network(there.port) as network:
            url = f"rtmp://127.0.0.1:{network.port}/live"
            network.late = 0.1
            async with serve(stream_targets=[url]) as served:
                browser = Browser()
                location = (await browser.connect(served.http)).headers["location"]
                await browser.level()
                before = await figures_of(served, location)
                wanted = {"kind": "rtmp", "url": url, "key": KEY}
                begun = await served.http.post(f"{location}/outputs", json=wanted)
                await reaches(served, f"{location}/outputs", state="live")
                network.cut()
                away = await reaches(served, f"{location}/outputs", state="retrying")
                assert away["problem"]["detail"].startswith("sending to the server failed")
                ended = (await served.http.delete(begun.headers["location"])).json()
                assert ended["state"] == "ended"
                tries = network.connections
                longest = await longest_freeze(1.2)  # the first pause before another try is 1 s
                assert network.connections == tries
                kept_its_rate(before, await figures_of(served, location))
                assert longest < 1
                await browser.close()


@pytest.mark.slow
async def test_a_viewer_that_hangs_leaves_the_picture_its_rate(served: Served) -> None:
    browser = Browser()
    made = await browser.connect(served.http)
    location, state = made.headers["location"], made.json()
    await browser.level()
    async with listening(served.app) as url:
        given = (url, state["id"], state["viewer_token"])
        viewer = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.server.players", *given, stdout=asyncio.subprocess.PIPE
        )
        try:
            assert viewer.stdout is not None
            for _ in range(10):  # it watches
                line = await asyncio.wait_for(viewer.stdout.readline(), PATIENCE)
                assert line == b"64x64\n"
            viewer.send_signal(signal.SIGSTOP)
            before = await figures_of(served, location)
            longest = await longest_freeze(2.5)
            kept_its_rate(before, await figures_of(served, location))
            assert longest < 1.5
            assert (await served.http.get(location)).json()["viewers"] == 1  # it did not end
        finally:
            viewer.kill()
            await viewer.communicate()
    await browser.close()


async def figures_of(served: Served, location: str) -> dict[str, int]:
    """Give a session's figures."""
    found: dict[str, int] = (await served.http.get(location)).json()["stats"]
    return found


def kept_its_rate(before: dict[str, int], after: dict[str, int]) -> None:
    """Fail where less went out than came in, but for the two pictures that may be on their way.

    The machine, and with it the camera, may be slow for its own reasons.
    """
    came, went = (after[name] - before[name] for name in ("frames_in", "frames_out"))
    assert came > 20
    assert went >= 0.98 * came - 2


async def longest_freeze(seconds: float) -> float:
    """Watch the event loop; give the longest time that it did not run, in seconds."""
    clock = asyncio.get_running_loop().time
    end, longest = clock() + seconds, 0.0
    while (now := clock()) < end:
        await asyncio.sleep(0.01)
        longest = max(longest, clock() - now)
    return longest


async def test_a_virtual_camera_shows_the_picture_or_says_what_is_missing(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    cameras: list[Memory] = []

    def open_camera(width: int, height: int, device: str | None) -> Memory:
        assert (width, height, device) == (64, 64, "/dev/video9")
        cameras.append(Memory())
        return cameras[-1]

    monkeypatch.setattr("server.output_kinds.VirtualCamera", open_camera)
    monkeypatch.setattr("server.output_kinds.virtual_camera_missing", lambda: "install it")
    async with serve(virtual_camera="/dev/video9") as served:
        browser = Browser()
        location = (await browser.connect(served.http)).headers["location"]
        wanted = {"kind": "virtual_camera"}
        refused = await served.http.post(f"{location}/outputs", json=wanted)
        assert (refused.status_code, refused.json()["detail"]) == (403, "install it")

        monkeypatch.setattr("server.output_kinds.virtual_camera_missing", lambda: None)
        begun = await served.http.post(f"{location}/outputs", json=wanted)
        assert begun.json()["target"] == "/dev/video9"
        for _ in range(3):
            await browser.level()
        ended = (await served.http.delete(begun.headers["location"])).json()
        assert ended["frames"] == len(cameras[0].pictures) >= 3
        assert abs(level_of(cameras[0].pictures[-1]) - 195) < 8
        await browser.close()
