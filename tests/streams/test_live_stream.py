"""The child that streams: what it says of servers that are away, silent or gone."""

import itertools
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from streams.errors import SinkLost
from streams.sinks.live_stream import LiveStream
from streams.sinks.stream_child import SrtStart, Start
from streams.srt import libsrt
from tests.streams.ports import free_port
from tests.streams.test_recording import frames_of, picture
from tests.streams.waiting import PATIENCE

KEY = "a-secret-key"
pytestmark = pytest.mark.slow


def start(port: int, deadline: float = 20.0, srt: SrtStart | None = None) -> Start:
    url = f"rtmp://127.0.0.1:{port}/live/{KEY}"
    return Start(url=url, srt=srt, width=64, height=64, kbps=1000, deadline=deadline)


@contextmanager
def silent_server() -> Iterator[int]:
    """Accept connections and never say a word."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


def children() -> list[psutil.Process]:
    return [p for p in psutil.Process().children() if "stream_child" in " ".join(p.cmdline())]


def test_a_server_that_is_not_there_is_told_without_the_key() -> None:
    with pytest.raises(SinkLost) as told:
        LiveStream(start(free_port()))
    assert str(told.value) == "the server cannot be reached: Connection refused"
    assert not children()


def test_a_silent_server_is_given_up_and_freezes_nobody() -> None:
    """PyAV holds the interpreter lock meanwhile; it must be the child's, not ours."""
    gaps, done = [], threading.Event()

    def tick() -> None:
        before = time.monotonic()
        while not done.wait(0.01):
            gaps.append(time.monotonic() - before)
            before = time.monotonic()

    ticking = threading.Thread(target=tick)
    ticking.start()
    try:
        with silent_server() as port, pytest.raises(SinkLost) as told:
            LiveStream(start(port, deadline=2))
    finally:
        done.set()
        ticking.join()
    assert str(told.value) == "the server did not answer within 2 s"
    assert max(gaps) < 1.5  # and not the two seconds
    assert not children()


@contextmanager
def ffmpeg(port: int, output: Path, srt: str = "") -> Iterator[subprocess.Popen[bytes]]:
    """Receive one stream with FFmpeg's own program, by RTMP or with a query of SRT's."""
    program = pytest.importorskip("imageio_ffmpeg").get_ffmpeg_exe()
    rtmp = ["-listen", "1", "-i", f"rtmp://127.0.0.1:{port}/live/{KEY}"]
    given = ["-i", f"srt://127.0.0.1:{port}?mode=listener&{srt}"] if srt else rtmp
    receiver = subprocess.Popen(
        [program, "-v", "quiet", *given, "-c", "copy", str(output)], stdin=subprocess.DEVNULL
    )
    try:
        yield receiver
    finally:
        receiver.kill()
        receiver.wait()


def connected(wanted: Start) -> LiveStream:
    """Connect as soon as a receiver that starts is there."""
    end = time.monotonic() + PATIENCE
    while True:
        try:
            return LiveStream(wanted)
        except SinkLost:
            assert time.monotonic() < end
            time.sleep(0.1)


def send_three_seconds(stream: LiveStream, receiver: subprocess.Popen[bytes]) -> None:
    """Write 90 pictures, of which nobody who looks at processes sees the key; wait for the end."""
    (child,) = children()
    assert KEY not in " ".join(child.cmdline()) + str(child.environ())
    for number in range(90):
        stream.write(picture(number), number / 30)
    stream.close()
    receiver.wait(PATIENCE)


def check_three_seconds(stream: LiveStream, path: Path) -> None:
    """Look at what was received: every picture, with a key frame every two seconds."""
    found = frames_of(path)
    assert len(found) == 90
    assert [seconds for seconds, key in found if key] == pytest.approx([0, 2], abs=0.01)
    assert stream.bytes > 10_000


def test_ffmpeg_receives_every_picture_and_the_key_is_in_no_argv(tmp_path: Path) -> None:
    port, path = free_port(), tmp_path / "received.mkv"
    with ffmpeg(port, path) as receiver:
        stream = connected(start(port))
        send_three_seconds(stream, receiver)
    check_three_seconds(stream, path)


def test_a_server_that_goes_away_is_told_at_a_next_picture(tmp_path: Path) -> None:
    port = free_port()
    with ffmpeg(port, tmp_path / "received.mkv"):
        stream = connected(start(port))
        stream.write(picture(0), 0)

    def go_on() -> None:
        for number in itertools.count(1):
            stream.write(picture(number), number / 30)
            time.sleep(0.01)

    with pytest.raises(SinkLost, match="sending to the server failed") as told:
        go_on()
    stream.close()
    assert KEY not in str(told.value)
    assert not children()


@pytest.mark.skipif(libsrt() is None, reason="libsrt is not installed")
def test_ffmpeg_receives_srt_with_the_right_passphrase_only(tmp_path: Path) -> None:
    port, path = free_port(), tmp_path / "received.mkv"

    def call(passphrase: str) -> LiveStream:
        to = SrtStart(host="127.0.0.1", port=port, streamid="live", passphrase=passphrase)
        return LiveStream(start(port, srt=to))

    with ffmpeg(port, path, f"enforced_encryption=1&passphrase={KEY}") as receiver:
        told = ""
        while "rejected" not in told:  # or nobody is there yet
            with pytest.raises(SinkLost) as refused:
                call("wrong-wrong")
            told = str(refused.value)
        stream = call(KEY)
        for number in range(90):
            stream.write(picture(number), number / 30)
            time.sleep(0.02)  # live: SRT drops what comes faster than it is read
        stream.close()
        receiver.wait(PATIENCE)
    assert len(frames_of(path)) == 90
