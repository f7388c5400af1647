"""A session changes its size while pictures flow, with a real WebRTC peer."""

import asyncio
import itertools
import time
from pathlib import Path

import av
import httpx
import pytest

from tests.bench.client import Pictures
from tests.bench.scenarios import webcam
from tests.e2e.serving import TOKEN, serving
from tests.server.client import Browser
from tests.server.conftest import Serve, Served
from tests.streams.fakes import FakeEngine
from tests.streams.waiting import PATIENCE

# seconds without a picture, beyond three times those of before; a size takes 0.2 s in this engine
_LONGEST = 0.5


Shown = list[tuple[float, av.VideoFrame]]  # when each came


async def pictures_until(browser: Browser, width: int, count: int) -> Shown:
    """Give what is shown until so many pictures of this width were."""
    found: Shown = []
    async with asyncio.timeout(PATIENCE):
        while sum(picture.width == width for _, picture in found) < count:
            picture = await browser.pictures.get()
            found.append((time.monotonic(), picture))
    return found


def longest(shown: Shown) -> float:
    """Give the longest time between two pictures."""
    return max(b - a for (a, _), (b, _) in itertools.pairwise(shown))


@pytest.mark.parametrize(("width", "height"), [(512, 256), (1024, 256), (256, 1024)])
async def test_the_old_size_serves_until_the_new_one_is_there_and_no_picture_is_wrong(
    width: int, height: int, served: Served
) -> None:
    browser = Browser()
    location = (await browser.connect(served.http)).headers["location"]
    await browser.level()
    calm = longest(await pictures_until(browser, 64, 20))
    reading = asyncio.create_task(pictures_until(browser, width, 15))
    began = time.monotonic()
    browser.say(type="size", seq=7, width=width, height=height)
    answer = await browser.hear("resized")
    took = time.monotonic() - began
    shown = await reading

    assert (answer["seq"], answer["width"], answer["height"]) == (7, width, height)
    sizes = [(picture.width, picture.height) for _, picture in shown]
    turn = sizes.index((width, height))
    assert set(sizes[:turn]) == {(64, 64)}
    assert set(sizes[turn:]) == {(width, height)}
    assert sum(at < began + took for at, _ in shown[:turn]) >= 2  # the old one served meanwhile
    assert longest(shown) < _LONGEST + 3 * calm
    for _, picture in shown:
        assert abs(picture.to_ndarray(format="rgb24").mean() - 195) < 8
    state = (await served.http.get(location)).json()
    assert (state["width"], state["height"]) == (width, height)
    await browser.close()


async def test_of_several_changes_the_last_wins_and_all_are_told(served: Served) -> None:
    browser = Browser()
    location = (await browser.connect(served.http)).headers["location"]
    await browser.level()
    for seq, side in enumerate((256, 320, 384)):
        browser.say(type="size", seq=seq, width=side, height=256)
    answers = [await browser.hear("resized") for _ in range(3)]

    assert sorted(answer["seq"] for answer in answers) == [0, 1, 2]
    assert {answer["width"] for answer in answers} == {384}
    put = await served.http.put(f"{location}/size", json={"width": 256, "height": 384})
    assert (put.json()["width"], put.json()["height"]) == (256, 384)
    assert put.json()["frame"] > answers[0]["frame"]
    await browser.close()


async def test_a_size_that_cannot_be_is_refused_and_the_old_one_goes_on(served: Served) -> None:
    browser = Browser()
    path = (await browser.connect(served.http)).headers["location"] + "/size"
    await browser.level()
    for width, height, status, code, words in (
        (1024, 1024, 507, "no_room", ("9.00 GB", "1.00 GB free")),
        (300, 256, 422, "invalid", ("multiples of 64",)),
        (128, 256, 422, "invalid", ("width", "256", "128")),
        (1088, 256, 422, "invalid", ("width", "1024", "1088")),
    ):
        answer = await served.http.put(path, json={"width": width, "height": height})
        assert (answer.status_code, answer.json()["code"]) == (status, code)
        assert all(word in answer.json()["detail"] for word in words), answer.text
    browser.say(type="size", seq=3, width=1024, height=1024)
    error = await browser.hear("error")
    assert (error["seq"], error["code"]) == (3, "no_room")
    assert (await browser.picture()).width == 64
    await browser.close()


async def test_a_size_that_is_asked_for_while_the_session_ends_harms_nobody(serve: Serve) -> None:
    engine = FakeEngine()
    async with serve(lambda: engine) as served:
        browser = Browser()
        location = (await browser.connect(served.http)).headers["location"]
        await browser.level()
        browser.say(type="size", seq=1, width=256, height=256)
        await asyncio.sleep(0.05)
        assert (await served.http.delete(location)).status_code == 200
        await asyncio.sleep(0.3)
        assert served.sessions == 0
        await browser.close()


async def sized(browser: Browser, width: int, height: int) -> None:
    """Wait for a picture of this size."""
    async with asyncio.timeout(PATIENCE):
        while True:
            picture = await browser.pictures.get()
            if (picture.width, picture.height) == (width, height):
                return


@pytest.mark.long
async def test_the_real_model_shows_tall_pictures(tmp_path: Path) -> None:
    film = webcam(256, 30)
    headers = {"Authorization": f"Bearer {TOKEN}"}
    with serving(tmp_path) as server:
        async with httpx.AsyncClient(base_url=server.url, headers=headers, timeout=120) as http:
            browser = Browser()
            browser.camera = Pictures(lambda number: film[number % len(film)])  # type: ignore[assignment]  # a camera, too
            made = await browser.connect(http, prompt="a pencil drawing")
            location = made.headers["location"]
            await browser.level()
            wanted = {"width": 768, "height": 1024}
            put = await http.put(f"{location}/size", json=wanted)
            assert put.status_code == 200, put.text
            for _ in range(5):
                await sized(browser, 768, 1024)
            state = (await http.get(location)).json()
            await browser.close()
    assert (state["width"], state["height"]) == (768, 1024)
    assert state["stats"]["stages_ms"]["unet"] > 0  # they went through the model
