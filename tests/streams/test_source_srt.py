"""SRT from a sender: FFmpeg's own program where it is installed, and our own sink."""

import ctypes
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
from streams.sinks.live_stream import LiveStream
from streams.sinks.stream_child import SrtStart
from streams.soundtrack import SILENCE
from streams.soundtrack import Heard as HeardPacket
from streams.sources import srt
from streams.sources.place import Place, open_place
from streams.srt import _SRTO_PASSPHRASE, _sockaddr, libsrt
from tests.streams.clicks import film
from tests.streams.ports import free_port
from tests.streams.test_live_stream import connected, start
from tests.streams.test_recording import picture
from tests.streams.test_source_sound import Heard
from tests.streams.waiting import PATIENCE, until

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
    end = time.monotonic() + PATIENCE
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
def test_who_is_not_there_is_told_and_a_call_that_fails_leaves_nothing() -> None:
    before = threading.active_count()
    with pytest.raises(SourceError, match=r"srt://127.0.0.1: not reached \(.*time"):
        open_place(address(free_port(), f"passphrase={'x' * 12}"))
    assert threading.active_count() == before


@needs_libsrt
def test_who_refuses_is_told_apart_from_who_is_not_there(tmp_path: Path) -> None:
    port = free_port()
    film(tmp_path / "marks.ts", 1, keys=10)
    with sender(tmp_path / "marks.ts", port, f"enforced_encryption=1&passphrase={SECRET}") as it:
        said = ""
        while "rejected" not in said:  # or it does not listen yet
            assert it.poll() is None
            with pytest.raises(SourceError) as told:
                open_place(address(port, "passphrase=wrong-wrong"))
            said = str(told.value)
    assert said == "srt://127.0.0.1: not reached (rejected, the passphrase is wrong)"


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


@contextmanager
def relay(port: int, passphrase: str) -> Iterator[None]:
    """Listen; pass on what the first caller sends to the second one."""
    library = libsrt()
    assert library is not None
    library.srt_startup()
    sockets = [library.srt_create_socket()]
    secret, address = passphrase.encode(), _sockaddr("127.0.0.1", port)
    assert library.srt_setsockflag(sockets[0], _SRTO_PASSPHRASE, secret, len(secret)) == 0
    assert library.srt_bind(sockets[0], address, len(address)) == 0
    assert library.srt_listen(sockets[0], 2) == 0

    def run() -> None:
        for _ in range(2):
            sockets.append(library.srt_accept(sockets[0], None, None))
        buffer = ctypes.create_string_buffer(1456)
        while (count := library.srt_recv(sockets[1], buffer, len(buffer))) > 0:
            if library.srt_send(sockets[2], buffer, count) < 0:
                return

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        for each in sockets:
            library.srt_close(each)
        thread.join()
        library.srt_cleanup()


@needs_libsrt
@pytest.mark.slow
def test_what_our_own_output_sends_is_received(heard: Heard) -> None:
    port, done = free_port(), threading.Event()
    to = SrtStart(host="127.0.0.1", port=port, streamid="", passphrase=SECRET)

    def send(stream: LiveStream) -> None:
        for number in range(2000):
            if done.wait(0.03):
                return
            stream.hear(
                HeardPacket(number / 30, SILENCE)
            )  # a track without sound would be waited for
            stream.write(picture(number), number / 30)

    with relay(port, SECRET):
        stream = connected(start(port, srt=to))
        sending = threading.Thread(target=send, args=(stream,))
        sending.start()
        try:
            opened(heard, address(port, f"passphrase={SECRET.replace(' ', '%20')}"))
            until(lambda: len(heard.frames) >= 20)
        finally:
            done.set()
            sending.join()
            stream.close()
            heard.switch.close()
    assert [each.number for each in heard.frames] == list(range(len(heard.frames)))
