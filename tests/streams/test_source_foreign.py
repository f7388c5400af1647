"""Sources pull from servers of others, and come back to them. What is not installed is skipped."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from streams.sources.place import Place
from streams.srt import libsrt
from tests.bench.outputs import number_of
from tests.bench.sources import SIZE, Sender, circle, opened
from tests.streams.clicks import film
from tests.streams.foreign import rtmp_server, rtsp_server
from tests.streams.ports import free_port
from tests.streams.test_source_sound import Heard
from tests.streams.waiting import until

pytestmark = pytest.mark.slow


@pytest.fixture
def heard() -> Iterator[Heard]:
    made = Heard()
    yield made
    made.switch.close()


def more(heard: Heard, pictures: int, packets: int) -> None:
    """Wait for so many more of each."""
    frames, sounds = len(heard.frames) + pictures, len(heard.sounds) + packets
    until(lambda: len(heard.frames) >= frames and len(heard.sounds) >= sounds)


@pytest.mark.parametrize("kind", ["rtmp", "srt"])
def test_our_output_comes_back_by_a_foreign_server(kind: str, heard: Heard, tmp_path: Path) -> None:
    if kind == "srt" and libsrt() is None:
        pytest.skip("libsrt is not installed")
    with circle(kind, tmp_path) as (_, place):
        opened(heard, place)
        more(heard, 20, 90)
        heard.switch.close()
    numbers = [number_of(f.picture.to_ndarray()[:SIZE].tobytes()) for f in heard.frames]
    assert numbers == sorted(set(numbers))
    assert heard.clicks()


def test_an_rtsp_server_that_is_killed_and_started_again_comes_back(
    heard: Heard, tmp_path: Path
) -> None:
    film(tmp_path / "marks.mp4", 20, keys=25)
    port = free_port()
    with rtsp_server(tmp_path / "marks.mp4", port) as url:
        opened(heard, Place("url", url))
        more(heard, 40, 60)
        times = [frame.picture.pts or 0 for frame in heard.frames]
        assert times == sorted(set(times))
        clicks = heard.clicks()
        assert clicks
    source = heard.switch.source
    until(lambda: source.state == "retrying")
    with rtsp_server(tmp_path / "marks.mp4", port):
        more(heard, 10, 10)
        assert source.losses >= 1
        assert source.state == "live"
        heard.switch.close()
    numbers = [frame.number for frame in heard.frames]
    assert numbers == list(range(len(numbers)))


@pytest.mark.long  # nginx says nothing while nobody publishes: it takes our deadlines
def test_a_publisher_that_comes_back_to_nginx_is_seen_again(heard: Heard, tmp_path: Path) -> None:
    port = free_port()
    with rtmp_server(tmp_path, port) as url:
        sender = Sender(url)
        try:
            opened(heard, Place("url", url))
            more(heard, 10, 10)
        finally:
            sender.close()
        sender = Sender(url)
        try:
            more(heard, 20, 20)
        finally:
            sender.close()
            heard.switch.close()
