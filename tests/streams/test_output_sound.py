"""A flash and a click that arrive together are seen and heard together, wherever they went."""

import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import pytest

from streams.frame import Frame, Restyled
from streams.output import Output
from streams.sinks.protocol import Sink
from streams.sinks.recording import Recording
from streams.sinks.stream_child import SrtStart
from streams.sound import Sound
from streams.srt import libsrt
from tests.streams.clicks import Voice, flash, middle, offsets_in
from tests.streams.ports import free_port
from tests.streams.test_live_stream import connected, ffmpeg, start
from tests.streams.waiting import PATIENCE, until

ALLOWED = 0.045  # seconds
_LATE = 0.2  # seconds that the model takes: what the sound must not be ahead by
pytestmark = pytest.mark.slow


def send(open_sink: Callable[[], Sink], seconds: float) -> None:
    """Feed an output in real time: pictures late by what a model takes, and sound with them."""
    output, voice = Output("one", open_sink, 64, 64, room=8), Voice()
    until(lambda: output.figures().state == "live")
    began = time.monotonic()
    events = [(number / 30, number, False) for number in range(int(seconds * 30))]
    events += [(number / 50, number, True) for number in range(int(seconds * 50))]
    for at, number, is_sound in sorted(events):
        time.sleep(max(0.0, began + at - time.monotonic()))
        arrived = began + at - _LATE
        if is_sound:
            # a browser's clocks begin anywhere
            output.hear(Sound(777_777 + number * 960, arrived, voice.packet(number)))
        else:
            picture, pts = flash(at), 12_345 + number * 3000
            source = Frame(number, pts, Fraction(1, 90_000), int(arrived * 1e9), picture)
            output.put(Restyled(source, picture, {}))
    output.close()


def check(path: Path) -> None:
    offsets = [offset for _, offset in offsets_in(path)]
    assert len(offsets) >= 4
    offset, uneven = middle(offsets)
    assert abs(offset) <= ALLOWED + uneven, offsets


def test_in_a_recording(tmp_path: Path) -> None:
    path = tmp_path / "film.mp4"
    send(lambda: Recording(path, 64, 64), 5)
    check(path)


def test_in_rtmp_to_ffmpeg(tmp_path: Path) -> None:
    port, path = free_port(), tmp_path / "received.mkv"
    with ffmpeg(port, path) as receiver:
        send(lambda: connected(start(port)), 5)
        receiver.wait(PATIENCE)
    check(path)


@pytest.mark.skipif(libsrt() is None, reason="libsrt is not installed")
def test_in_srt_to_ffmpeg(tmp_path: Path) -> None:
    port, path = free_port(), tmp_path / "received.mkv"
    to = SrtStart(host="127.0.0.1", port=port, streamid="", passphrase="")
    with ffmpeg(port, path, "latency=200000") as receiver:
        send(lambda: connected(start(port, srt=to)), 5)
        receiver.wait(PATIENCE)
    check(path)
