"""Outputs over HTTP: who may, what is told, and that the picture goes on."""

import asyncio
import io
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest

from tests.server.client import Browser
from tests.server.conftest import Serve, Served
from tests.streams.test_recording import frames_of


async def reaches(served: Served, path: str, **wanted: object) -> dict[str, Any]:
    """Wait until the only output has these values; give its state."""
    async with asyncio.timeout(10):
        while True:
            (state,) = (await served.http.get(path)).json()["outputs"]
            if all(state[name] == value for name, value in wanted.items()):
                found: dict[str, Any] = state
                return found
            await asyncio.sleep(0.02)


async def test_a_recording_holds_the_restyled_picture(serve: Serve, tmp_path: Path) -> None:
    async with serve(recordings=tmp_path / "films", width=64, height=64) as served:
        browser = Browser()
        location = (await browser.connect(served.http)).headers["location"]
        await browser.level()
        begun = await served.http.post(f"{location}/outputs", json={"kind": "recording"})
        assert begun.status_code == 201, begun.text
        assert begun.json()["state"] in ("starting", "live")
        for _ in range(20):
            await browser.level()
        async with asyncio.timeout(10):
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
