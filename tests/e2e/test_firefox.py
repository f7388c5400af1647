"""The page in Firefox: camera in, restyled picture out, another prompt, kept pictures, a viewer."""

from collections.abc import Iterator
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from tests.e2e.firefox import Firefox, find_firefox, firefox
from tests.e2e.serving import Server
from tests.streams.waiting import PATIENCE, until

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

_SHOWN = "document.querySelector('video#video-out')?.videoWidth > 0"
_COLOUR = """((name) => {
  const canvas = document.createElement('canvas');
  const context = canvas.getContext('2d');
  context.drawImage(document.querySelector(name), 0, 0, 8, 8);
  return [...context.getImageData(4, 5, 1, 1).data].slice(0, 3);
})(arguments[0])"""


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Firefox]:
    path = find_firefox()
    if path is None:
        pytest.skip("no Firefox here: apt install firefox-esr")
    (profile, films) = (tmp_path / "profile", tmp_path / "films")
    profile.mkdir()
    films.mkdir()
    with firefox(path, profile, films) as started:
        yield started


def kept(folder: Path, ending: str) -> Path:
    """Wait until one file of that kind is saved whole; give it."""
    until(lambda: any(folder.glob(f"*.{ending}")) and not any(folder.glob("*.part")))
    return next(folder.glob(f"*.{ending}"))


def test_a_person_with_firefox_restyles_records_reloads_watches_and_stops(
    browser: Firefox, light: Server, tmp_path: Path
) -> None:
    browser.go(light.link())
    browser.click("start-camera")
    browser.until(_SHOWN, seconds=PATIENCE)

    def inverted() -> bool:  # the camera changes its colour all the time, and is seen earlier
        there, back = browser.ask(_COLOUR, "#video-in"), browser.ask(_COLOUR, "#video-out")
        return bool(np.abs(255 - np.array(there) - back).mean() < 60)

    until(inverted)

    browser.clear("prompt")
    browser.type("prompt", "a pencil drawing\ue007")  # and Enter
    for view in ("side", "difference", "inset", "only", "wipe"):
        browser.click(f"view-{view}")
        pressed = "document.querySelector(arguments[0]).getAttribute('aria-pressed') === 'true'"
        browser.until(pressed, f"[data-testid=view-{view}]")
    browser.until("Number(document.querySelector('[data-testid=fps-out]').innerText) > 0")

    films = tmp_path / "films"
    browser.click("snapshot")
    picture = cv2.imread(str(kept(films, "png")))
    assert picture is not None
    assert picture.shape[0] > 64
    browser.click("record")
    browser.until("document.querySelector('[data-testid=record-clock]')?.innerText >= '0:02'")
    browser.click("record")
    with av.open(str(kept(films, "webm"))) as film:
        assert {stream.type for stream in film.streams} == {"video", "audio"}
        assert sum(1 for _ in film.decode(video=0)) > 2

    (session,) = light.api("GET", "/api/sessions")["sessions"]
    watched = f"{light.url}/overlay/{session['id']}#token={session['viewer_token']}"
    with browser.other_tab(watched):
        browser.until("document.querySelector('video')?.videoWidth > 0", seconds=PATIENCE)

    browser.reload()
    browser.until(_SHOWN, seconds=PATIENCE)
    value = browser.ask("document.querySelector('[data-testid=prompt]').value")
    assert value == "a pencil drawing"
    browser.click("stop")
    until(lambda: light.api("GET", "/api/info")["sessions"] == 0)
