"""RTMP over TLS: pictures arrive, and no stream key goes to whom the certificate does not name."""

import errno
import itertools
import socket
import socketserver
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from streams.errors import SinkLost
from streams.sinks.live_stream import LiveStream
from streams.sinks.rtmp import explained
from streams.sinks.stream_child import Start
from streams.trust import authorities
from tests.streams.ports import free_port
from tests.streams.rtmp_server import rtmp_server
from tests.streams.test_live_stream import (
    KEY,
    check_three_seconds,
    children,
    connected,
    ffmpeg,
    send_three_seconds,
)
from tests.streams.test_recording import picture
from tests.streams.tls import tls_in_front_of, write_certificate


def start(port: int, key: str = KEY) -> Start:
    url = f"rtmps://127.0.0.1:{port}/live/{key}"
    return Start(url=url, srt=None, width=64, height=64, kbps=1000, deadline=20.0)


def plain(port: int) -> Start:
    wanted = start(port)
    wanted["url"] = f"rtmp://127.0.0.1:{port}/live/{KEY}"
    return wanted


@pytest.fixture
def certificate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give one that is trusted."""
    path = write_certificate(tmp_path / "trusted.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(path))
    return path


@pytest.mark.slow
def test_every_picture_arrives_over_tls_and_the_key_is_in_no_argv(
    certificate: Path, tmp_path: Path
) -> None:
    port, path = free_port(), tmp_path / "received.mkv"
    with ffmpeg(port, path) as receiver, tls_in_front_of(port, certificate) as proxy:
        stream = connected(start(proxy.port))
        send_three_seconds(stream, receiver)
        assert KEY.encode() in proxy.read
    check_three_seconds(stream, path)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "ended", "trusted", "reason"),
    [
        ("127.0.0.1", False, False, "self-signed certificate"),
        ("elsewhere.example", False, True, "IP address mismatch"),
        ("127.0.0.1", True, True, "certificate has expired"),
    ],
)
def test_a_certificate_that_cannot_be_verified_gets_no_key(
    name: str, ended: bool, trusted: bool, reason: str,
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    shown = write_certificate(tmp_path / "shown.pem", name, ended)
    if trusted:
        monkeypatch.setenv("SSL_CERT_FILE", str(shown))
    with rtmp_server(KEY) as server, tls_in_front_of(server.port, shown) as proxy:
        with pytest.raises(SinkLost) as refused:
            LiveStream(start(proxy.port))
        assert proxy.read == b""
    told = str(refused.value)
    assert told.startswith("the server's certificate cannot be verified, so no key was sent: ")
    assert reason in told
    assert "SSL_CERT_FILE" in told
    assert KEY not in told
    assert not children()


@pytest.mark.slow
@pytest.mark.parametrize("key", ["a|b", "it's", "[f=flv]:x]", "q?a=1:b&c=%7C", "'"])
def test_a_key_of_any_characters_arrives_as_it_is(certificate: Path, key: str) -> None:
    with rtmp_server(key) as server, tls_in_front_of(server.port, certificate) as proxy:
        stream = LiveStream(start(proxy.port, key))
        stream.write(picture(0), 0)
        stream.close()
        assert server.refused == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("refusal", "said"),
    [("said", "the server refused the stream"), ("closed", "the server closed the connection")],
)
@pytest.mark.parametrize("secure", [True, False])
def test_a_wrong_key_is_told_as_what_it_is(
    certificate: Path, refusal: str, said: str, secure: bool
) -> None:
    with (
        rtmp_server("another", refusal) as server,  # type: ignore[arg-type]  # of the list above
        tls_in_front_of(server.port, certificate) as proxy,
    ):
        with pytest.raises(SinkLost) as refused:
            LiveStream(start(proxy.port) if secure else plain(server.port))
        assert server.refused == 1
    assert str(refused.value) == f"{said}: is the stream key right?"


@pytest.mark.slow
@pytest.mark.parametrize(("begun", "asked"), [(0, True), (30, False)])
def test_a_stream_that_is_lost_early_may_have_had_a_wrong_key(begun: float, asked: bool) -> None:
    with rtmp_server("another", "later") as server:
        stream = LiveStream(plain(server.port))

        def go_on() -> None:
            for number in itertools.count():
                stream.write(picture(number), begun + min(number / 1000, 1))
                time.sleep(0.01)

        with pytest.raises(SinkLost, match="sending to the server failed: ") as lost:
            go_on()
        stream.close()
    assert str(lost.value).endswith("; is the stream key right?") == asked


@contextmanager
def answering(data: bytes) -> Iterator[int]:
    """Answer each connection with these bytes, and close it."""

    class Answer(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.recv(4096)
            self.request.sendall(data)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield int(server.server_address[1])
        server.shutdown()
        thread.join()


@pytest.mark.slow
def test_a_server_without_tls_is_told_as_what_it_is() -> None:
    with (
        answering(b"HTTP/1.1 400 Bad Request\r\n\r\n") as port,
        pytest.raises(SinkLost) as refused,
    ):
        LiveStream(start(port))
    assert str(refused.value) == "the server cannot be reached: it does not speak TLS"


def test_a_name_that_nobody_knows_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr("streams.sinks.rtmp.socket.create_connection", unknown)
    told = explained(f"rtmp://nowhere.example/live/{KEY}", OSError(errno.EIO, "Input/output error"))
    assert told == "the server cannot be reached: its name is not known"


def test_trusted_are_the_systems_authorities_and_else_those_of_the_package(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    paths = ssl.get_default_verify_paths()
    paths = paths._replace(cafile="/etc/ssl/some.pem")
    monkeypatch.setattr(ssl, "get_default_verify_paths", lambda: paths)
    assert authorities() == "/etc/ssl/some.pem"
    paths = paths._replace(cafile=None)
    assert b"BEGIN CERTIFICATE" in Path(authorities()).read_bytes()
