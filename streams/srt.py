"""A caller of SRT by libsrt, which PyAV's builds lack: sends or receives MPEG-TS.

Why not FFmpeg's program: it takes passphrase and stream id by argv alone, which anybody on the
machine may read. Names and numbers are those of libsrt's srt.h, 1.4 and 1.5.
"""

import ctypes
import errno
import os
import socket
import struct
import sys
import time
from functools import cache

_LIBRARIES = (
    "libsrt-gnutls.so.1.5", "libsrt-openssl.so.1.5", "libsrt.so.1.5",  # Debian, Fedora
    "libsrt-gnutls.so.1.4", "libsrt.so.1.4",
    "libsrt.dylib", "/opt/homebrew/lib/libsrt.dylib", "/usr/local/lib/libsrt.dylib",
)  # fmt: skip
NO_LIBSRT = "SRT needs libsrt: `apt install libsrt1.5-gnutls`, or on macOS `brew install srt`"
_SRTO_CONNTIMEO, _SRTO_PASSPHRASE, _SRTO_STREAMID = 36, 26, 46
_SRTO_SNDTIMEO, _SRTO_RCVTIMEO = 13, 14
_TIMEOUT = (6002, 6003)  # SRT_EASYNCRCV, SRT_ETIMEOUT
_LOST = (2001, 2002, 5004)  # SRT_ECONNLOST, SRT_ENOCONN, SRT_EINVSOCK
_REASONS = {
    10: "rejected, the passphrase is wrong",
    11: "rejected, only one of both sides has a passphrase",
}
_MESSAGE = 1316  # bytes: seven packets of MPEG-TS, what one datagram of SRT's live mode takes
_LARGEST = 1456  # bytes that others may put in one
_LATENCY = 0.12  # seconds; SRT's default, and so what is under way at the end


@cache
def libsrt() -> ctypes.CDLL | None:
    """Load the library; None where it is not installed."""
    for name in _LIBRARIES:
        try:
            library = ctypes.CDLL(name)
        except OSError:
            continue
        library.srt_getlasterror_str.restype = ctypes.c_char_p
        return library
    return None


class SrtCaller:
    """What FFmpeg's MPEG-TS is written to or read from. Blocks.

    Raises OSError, whose text holds no secret.
    """

    def __init__(
        self, host: str, port: int, streamid: str, passphrase: str, seconds: float
    ) -> None:
        """Connect within `seconds`; so long may sending and receiving take as well."""
        library = libsrt()
        if library is None:
            raise OSError(errno.ENOENT, NO_LIBSRT)
        self._srt, self._seconds = library, seconds
        self._buffer, self._left = ctypes.create_string_buffer(_LARGEST), b""
        self._open, self._wrote = True, False
        self._srt.srt_startup()
        self._socket = self._srt.srt_create_socket()
        try:
            self._connect(host, port, streamid, passphrase)
        except BaseException:
            self.close()
            raise

    def _connect(self, host: str, port: int, streamid: str, passphrase: str) -> None:
        # sooner than whoever ends this process for taking longer: its reason is worth telling
        milliseconds = struct.pack("i", int(self._seconds * 800))
        self._set(_SRTO_CONNTIMEO, milliseconds)
        self._set(_SRTO_SNDTIMEO, milliseconds)
        self._set(_SRTO_RCVTIMEO, milliseconds)
        if passphrase:
            self._set(_SRTO_PASSPHRASE, passphrase.encode())
        if streamid:
            self._set(_SRTO_STREAMID, streamid.encode())
        address = _sockaddr(host, port)
        if self._srt.srt_connect(self._socket, address, len(address)) < 0:
            reason = _REASONS.get(self._srt.srt_getrejectreason(self._socket))
            raise OSError(errno.ECONNREFUSED, reason or self._said())

    def write(self, data: bytes) -> int:
        """Send whole packets of MPEG-TS."""
        self._wrote = True
        for start in range(0, len(data), _MESSAGE):
            part = data[start : start + _MESSAGE]
            self._checked(self._srt.srt_send(self._socket, part, len(part)))
        return len(data)

    def read(self, size: int) -> bytes:
        """Give what came next, `size` bytes at most; nothing once the other side has ended."""
        if not self._left:
            count = self._srt.srt_recv(self._socket, self._buffer, _LARGEST)
            if count < 0:
                code = self._srt.srt_getlasterror(None)
                if code in _TIMEOUT:
                    raise OSError(errno.ETIMEDOUT, f"nothing came for {self._seconds:g} s")
                if code in _LOST:
                    return b""
            self._left = self._buffer.raw[: self._checked(count)]
        data, self._left = self._left[:size], self._left[size:]
        return data

    def close(self) -> None:
        """End, once what was sent is there: SRT holds it back for its latency. Again: no error."""
        if not self._open:
            return
        self._open = False
        if self._wrote:
            time.sleep(2 * _LATENCY)
        self._srt.srt_close(self._socket)
        self._srt.srt_cleanup()

    def _set(self, option: int, value: bytes) -> None:
        self._checked(self._srt.srt_setsockflag(self._socket, option, value, len(value)))

    def _checked(self, result: int) -> int:
        if result < 0:
            raise OSError(errno.EIO, self._said())
        return result

    def _said(self) -> str:
        said: bytes = self._srt.srt_getlasterror_str()
        return said.decode(errors="replace")


def _sockaddr(host: str, port: int) -> bytes:
    """Give the C structure of an address. Raises OSError where the name is not known."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)
    except socket.gaierror as error:
        raise OSError(errno.EHOSTUNREACH, os.strerror(errno.EHOSTUNREACH)) from error
    family, address = found[0][0], found[0][4]
    # BSD's begins with its length
    head = struct.pack("BB", 28 if family == socket.AF_INET6 else 16, family)
    head = head if sys.platform == "darwin" else struct.pack("H", family)
    numbers = socket.inet_pton(family, str(address[0]))
    if family == socket.AF_INET6:
        return head + struct.pack("!HI", port, 0) + numbers + struct.pack("I", 0)
    return head + struct.pack("!H", port) + numbers + bytes(8)
