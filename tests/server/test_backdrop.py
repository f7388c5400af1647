"""An output over the untouched camera, asked for over HTTP and read back from its file."""

from pathlib import Path

import av
import numpy as np
import pytest

from tests.server.conftest import Serve
from tests.server.test_matte import next_picture, paired_browser

_RED, _CYAN = (200, 40, 40), (55, 215, 215)  # the camera, and what the engine makes of it


async def test_a_recording_has_the_restyled_person_in_front_of_the_camera(
    serve: Serve, tmp_path: Path
) -> None:
    async with serve(recordings=tmp_path) as served:
        browser = paired_browser()
        location = (await browser.connect(served.http, matte="side")).headers["location"]
        await next_picture(browser, 128)
        wanted = {"kind": "recording", "backdrop": "camera"}
        begun = await served.http.post(f"{location}/outputs", json=wanted)
        assert begun.status_code == 201, begun.text
        for _ in range(10):
            await next_picture(browser, 128)
        ended = (await served.http.delete(begun.headers["location"])).json()
        with av.open(str(tmp_path / ended["target"])) as file:
            images = [frame.to_ndarray(format="rgb24") for frame in file.decode(video=0)]
        assert len(images) == ended["frames"]
        for image in images:
            assert image.shape == (64, 64, 3)
            assert np.abs(image[8:-8, 4:24].mean((0, 1)) - _CYAN).max() < 20
            assert np.abs(image[8:-8, 40:].mean((0, 1)) - _RED).max() < 25
        await browser.close()


@pytest.mark.parametrize("backdrop", ["Camera", "camera ", "cameras", "#00ff0", "", None, 0])
async def test_another_backdrop_is_refused_with_what_is_allowed(
    serve: Serve, tmp_path: Path, backdrop: object
) -> None:
    async with serve(recordings=tmp_path) as served:
        browser = paired_browser()
        location = (await browser.connect(served.http, matte="side")).headers["location"]
        wanted = {"kind": "recording", "backdrop": backdrop}
        refused = await served.http.post(f"{location}/outputs", json=wanted)
        assert (refused.status_code, refused.json()["code"]) == (422, "invalid")
        assert f"given: {str(backdrop)!r}" in refused.json()["detail"]
        if isinstance(backdrop, str):
            assert "camera|#" in refused.json()["detail"]
        assert not list(tmp_path.iterdir())  # noqa: ASYNC240 - a test may wait
        await browser.close()
