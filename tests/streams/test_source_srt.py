"""SRT from a sender: FFmpeg's own program where it is installed, and our own sink."""

import shutil
import statistics
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from streams.errors import SourceError
from streams.sources import srt
from streams.sources.place import Place, open_place
from streams.srt import libsrt
from tests.streams.clicks import film
from tests.streams.test_live_stream import free_port
from tests.streams.test_source_sound import Heard

SECRET = "a secret of ours"
needs_libsrt = pytest.mark.skipif(libsrt() is None, reason="libsrt is not installed")


@contextmanager
def sender(path: Path, port: int, query: str = "") -> Iterator[subprocess.Popen[bytes]]:
    """Let FFmpeg's program listen, and send a film over and over at its pace."""
    program = shutil.which("ffmpeg")
    if program is None or "srt" not in subprocess.check_output(
        [program, "-v", "quiet", "-protocols"], text=True
    ):
        pytest.skip("no ffmpeg with SRT is installed")
    given = ["-re", "-stream_loop", "-1", "-i", str(path), "-c", "copy"]
    to = ["-f", "mpegts", f"srt://127.0.0.1:{port}?mode=listener&{query}"]
    sending = subprocess.Popen(
        [program, "-v", "quiet", *given, *to],
        stdin=subprocess.DEVNULL,
    )
    try:
        yield sending
    finally:
        sending.kill()
        sending.wait()


def address(port: int, query: str = "") -> Place:
    return Place("url", f"srt://127.0.0.1:{port}?{query}")


def opened(heard: Heard, place: Place) -> None:
    """Open it as soon as the sender is there."""
    end = time.monotonic() + 15
    while True:
        try:
            heard.switch.change(place)
            return
        except SourceError:
            assert time.monotonic() < end
            time.sleep(0.1)


@pytest.fixture
def heard() -> Iterator[Heard]:
    made = Heard()
    yield made
    made.switch.close()


@needs_libsrt
@pytest.mark.slow
def test_pictures_and_sound_come_together_with_the_right_passphrase(
    heard: Heard, tmp_path: Path
) -> None:
    film(tmp_path / "marks.ts", 8, keys=10)
    port = free_port()
    with sender(tmp_path / "marks.ts", port, f"enforced_encryption=1&passphrase={SECRET}"):
        secret = SECRET.replace(" ", "%20")
        opened(heard, address(port, f"streamid=%23!::r=live&passphrase={secret}"))
        heard.wait(3)
        heard.switch.close()
    offsets = heard.offsets()
    assert abs(statistics.median(offsets)) < 0.045, offsets
    apart = max(b.pts - a.pts for a, b in zip(heard.sounds, heard.sounds[1:], strict=False))
    assert apart < 48_000 * 0.1


@needs_libsrt
def test_who_is_not_there_and_who_refuses_are_told_apart(tmp_path: Path) -> None:
    port = free_port()
    with pytest.raises(SourceError, match=r"srt://127.0.0.1: not reached \(.*time"):
        open_place(address(port, f"passphrase={'x' * 12}"))
    film(tmp_path / "marks.ts", 1, keys=10)
    with sender(tmp_path / "marks.ts", port, f"enforced_encryption=1&passphrase={SECRET}") as it:
        said = ""
        while "rejected" not in said:  # or it does not listen yet
            assert it.poll() is None
            with pytest.raises(SourceError) as told:
                open_place(address(port, "passphrase=wrong-wrong"))
            said = str(told.value)
    assert said == "srt://127.0.0.1: not reached (rejected, the passphrase is wrong)"


@needs_libsrt
def test_calls_that_fail_leave_nothing() -> None:
    port = free_port()
    before = threading.active_count()
    for _ in range(2):
        with pytest.raises(SourceError):
            open_place(address(port))
    assert threading.active_count() == before


@pytest.mark.parametrize(
    ("at", "words"),
    [
        ("srt://127.0.0.1", "give srt://host:port"),
        ("srt://127.0.0.1:9000/path", "give srt://host:port"),
        ("srt://127.0.0.1:9000?mode=listener", "mode: only caller"),
        ("srt://127.0.0.1:9000?pkt_size=1", "only streamid, passphrase and mode=caller"),
        ("srt://127.0.0.1:9000?passphrase=short", "passphrase: 10 to 79"),
        ("srt://127.0.0.1:9000?streamid=" + "x" * 513, "streamid: at most 512"),
        ("srt://127.0.0.1:99999", "out of range"),
    ],
)
def test_addresses_that_are_none_are_told_without_their_query(at: str, words: str) -> None:
    with pytest.raises(SourceError) as told:
        open_place(Place("url", at))
    assert words in str(told.value).lower() or words in str(told.value)
    assert "short" not in str(told.value)


def test_without_libsrt_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streams.srt._LIBRARIES", ("libsrt-that-nobody-has.so",))
    libsrt.cache_clear()
    try:
        with pytest.raises(SourceError, match="apt install libsrt"):
            open_place(address(9000))
    finally:
        libsrt.cache_clear()


def test_the_query_is_read_as_ffmpeg_reads_it() -> None:
    found = srt.query_of(srt.urlsplit("srt://h:1?streamid=a+b%23c&passphrase=x%26y&mode=caller"))
    assert found == {"streamid": "a+b#c", "passphrase": "x&y", "mode": "caller"}
