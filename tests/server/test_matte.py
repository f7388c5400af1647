"""A session whose camera brings a matte: told, kept beside the picture, laid over a colour."""

import asyncio
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from streams.matte import split
from tests.server.client import Browser, Camera
from tests.server.conftest import Serve, Served
from tests.streams.test_matte import pair
from tests.streams.test_recording import frames_of
from tests.streams.waiting import PATIENCE

_BLUE = "#0000ff"


class PairedCamera(Camera):
    """Red, of which the left half is there."""

    async def recv(self) -> av.VideoFrame:
        await asyncio.sleep(1 / 30)
        picture = pair(256, 256)
        picture.pts, picture.time_base = self._number * 3000, Fraction(1, 90000)
        self._number += 1
        return picture


def paired_browser() -> Browser:
    browser = Browser()
    browser.camera = PairedCamera()
    return browser


async def next_picture(browser: Browser, width: int) -> av.VideoFrame:
    """Wait for a picture of this width."""
    async with asyncio.timeout(PATIENCE):
        while True:
            picture = await browser.pictures.get()
            if picture.width == width:
                return picture


async def test_a_matte_comes_back_beside_the_restyled_colour(served: Served) -> None:
    browser = paired_browser()
    location = (await browser.connect(served.http)).headers["location"]
    assert (await next_picture(browser, 64)).height == 64  # not told: an ordinary picture

    browser.say(type="matte", seq=4, matte="side")
    answer = await browser.hear("matte")
    assert (answer["seq"], answer["matte"]) == (4, "side")
    image, matte = split(await next_picture(browser, 128), 64, 64)
    assert np.abs(image[8:-8, 8:-8].mean((0, 1)) - (55, 215, 215)).max() < 12
    assert matte[8:-8, 4:24].mean() > 215
    assert matte[8:-8, 40:].mean() < 36
    state = (await served.http.get(location)).json()
    assert (state["width"], state["height"], state["matte"]) == (64, 64, "side")

    put = (await served.http.put(f"{location}/matte", json={"matte": "none"})).json()
    assert put["matte"] == "none"
    assert put["frame"] > answer["frame"]
    await next_picture(browser, 64)
    await browser.close()


@pytest.mark.parametrize("given", ["left", True, None, 1])
async def test_what_is_no_matte_is_refused_and_nothing_changes(
    served: Served, given: object
) -> None:
    browser = Browser()
    location = (await browser.connect(served.http)).headers["location"]
    answer = await served.http.put(f"{location}/matte", json={"matte": given})
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid")
    assert "'none' or 'side'" in answer.json()["detail"]
    browser.say(type="matte", seq=1, matte=given)
    assert (await browser.hear("error"))["seq"] == 1
    assert (await served.http.get(location)).json()["matte"] == "none"
    await browser.close()


async def test_snapshots_are_transparent_and_recordings_are_over_the_backdrop(
    serve: Serve, tmp_path: Path
) -> None:
    async with serve(recordings=tmp_path) as served:
        browser = paired_browser()
        location = (await browser.connect(served.http, matte="side")).headers["location"]
        await next_picture(browser, 128)

        png = (await served.http.get(f"{location}/snapshot")).content
        shown = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_UNCHANGED)
        assert shown.shape == (64, 64, 4)
        assert shown[8:-8, 4:24, 3].min() > 230
        assert shown[8:-8, 40:, 3].max() < 25

        wrong = await served.http.post(
            f"{location}/outputs", json={"kind": "recording", "backdrop": "blue"}
        )
        assert wrong.status_code == 422
        begun = await served.http.post(
            f"{location}/outputs", json={"kind": "recording", "backdrop": _BLUE}
        )
        for _ in range(10):
            await next_picture(browser, 128)
        ended = (await served.http.delete(begun.headers["location"])).json()
        with av.open(str(tmp_path / ended["target"])) as file:
            last = list(file.decode(video=0))[-1].to_ndarray(format="rgb24")
        assert frames_of(tmp_path / ended["target"])
        assert last.shape == (64, 64, 3)
        assert np.abs(last[8:-8, 4:24].mean((0, 1)) - (55, 215, 215)).max() < 20
        assert np.abs(last[8:-8, 40:].mean((0, 1)) - (0, 0, 255)).max() < 25
        await browser.close()
