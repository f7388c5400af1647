"""An RTMP server that takes one stream key, and only counts what it is sent."""

import math
import socketserver
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

_HANDSHAKE = 1536  # bytes of each half
_COMMAND = 20  # a message's type: a call, in AMF0

# how a wrong key is met: with NetStream.Publish.BadName, without a word, or after some pictures
Refusal = Literal["said", "closed", "later"]
_LATER = 5000  # bytes


class RtmpServer(socketserver.ThreadingTCPServer):
    """One on a free port of loopback."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, key: str, refusal: Refusal) -> None:
        super().__init__(("127.0.0.1", 0), _Connection)
        self.key, self.refusal = key, refusal
        self.refused = 0
        self.received = 0  # bytes after the stream was taken

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self.server_address[1])


class _Connection(socketserver.BaseRequestHandler):
    """Looks for the few calls that a publisher makes, in order; parses nothing else."""

    server: RtmpServer

    def handle(self) -> None:
        self._heard = b""
        try:
            self._shake_hands()
            self._until(b"connect")
            self._call(3, "_result", 1.0, None, None)
            call = self._until(b"createStream", 9)
            (number,) = struct.unpack(">d", call[-8:])
            self._call(3, "_result", number, None, 1.0)
            self._until(b"publish", 9)
            self._until(b"live")
            is_right = self.server.key.encode() in self._heard
            self.server.refused += not is_right
            if is_right or self.server.refusal == "later":
                self._take(_LATER if not is_right else math.inf)
            elif self.server.refusal == "said":
                self._call(5, "onStatus", 0.0, None, _status("error", "NetStream.Publish.BadName"))
                while self.request.recv(65536):
                    pass
        except OSError:
            return

    def _take(self, most: float) -> None:
        self._call(5, "onStatus", 0.0, None, _status("status", "NetStream.Publish.Start"))
        while self.server.received < most and (data := self.request.recv(65536)):
            self.server.received += len(data)

    def _shake_hands(self) -> None:
        while len(self._heard) < 1 + _HANDSHAKE:
            self._listen()
        self.request.sendall(b"\x03" + bytes(_HANDSHAKE) + self._heard[1 : 1 + _HANDSHAKE])
        while len(self._heard) < 1 + 2 * _HANDSHAKE:
            self._listen()
        self._heard = self._heard[1 + 2 * _HANDSHAKE :]

    def _until(self, word: bytes, more: int = 0) -> bytes:
        """Wait for a word and so many bytes after it; give both."""
        while (at := self._heard.find(word)) < 0 or len(self._heard) < at + len(word) + more:
            self._listen()
        return self._heard[at : at + len(word) + more]

    def _listen(self) -> None:
        data = self.request.recv(65536)
        if not data:
            raise ConnectionResetError
        self._heard += data

    def _call(self, channel: int, *values: object) -> None:
        """Send a call in one chunk, which is as large as chunks may be unless agreed otherwise."""
        body = b"".join(_amf(value) for value in values)
        assert len(body) <= 128
        head = struct.pack(">B3xBHBI", channel, 0, len(body), _COMMAND, 0)
        self.request.sendall(head + body)


def _status(level: str, code: str) -> dict[str, str]:
    return {"level": level, "code": code, "description": code}


def _amf(value: object) -> bytes:
    match value:
        case float():
            return b"\0" + struct.pack(">d", value)
        case str():
            return b"\x02" + _named(value)
        case dict():
            fields = b"".join(_named(name) + _amf(field) for name, field in value.items())
            return b"\x03" + fields + b"\0\0\x09"
        case None:
            return b"\x05"
    raise TypeError(value)


def _named(text: str) -> bytes:
    return struct.pack(">H", len(text)) + text.encode()


@contextmanager
def rtmp_server(key: str, refusal: Refusal = "said") -> Iterator[RtmpServer]:
    """Serve as long as the block."""
    with RtmpServer(key, refusal) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
