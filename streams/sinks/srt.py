"""A caller of SRT by libsrt, which PyAV's builds lack.

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
_SRTO_CONNTIMEO, _SRTO_PASSPHRASE, _SRTO_STREAMID, _SRTO_SNDTIMEO = 36, 26, 46, 13
_MESSAGE = 1316  # bytes: seven packets of MPEG-TS, what one datagram of SRT's live mode takes
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
    """What FFmpeg's MPEG-TS is written to. Blocks; raises OSError, whose text holds no secret."""

    def __init__(
        self, host: str, port: int, streamid: str, passphrase: str, seconds: float
    ) -> None:
        """Connect within `seconds`."""
        library = libsrt()
        if library is None:
            raise OSError(errno.ENOENT, "libsrt is not installed")
        self._srt = library
        self._srt.srt_startup()
        self._socket = self._checked(self._srt.srt_create_socket())
        # sooner than whoever ends this process for taking longer: its reason is worth telling
        milliseconds = struct.pack("i", int(seconds * 800))
        self._set(_SRTO_CONNTIMEO, milliseconds)
        self._set(_SRTO_SNDTIMEO, milliseconds)
        if passphrase:
            self._set(_SRTO_PASSPHRASE, passphrase.encode())
        if streamid:
            self._set(_SRTO_STREAMID, streamid.encode())
        address = _sockaddr(host, port)
        self._checked(self._srt.srt_connect(self._socket, address, len(address)))

    def write(self, data: bytes) -> int:
        """Send whole packets of MPEG-TS."""
        for start in range(0, len(data), _MESSAGE):
            part = data[start : start + _MESSAGE]
            self._checked(self._srt.srt_send(self._socket, part, len(part)))
        return len(data)

    def close(self) -> None:
        """End once what was sent is there: SRT holds it back for its latency."""
        time.sleep(2 * _LATENCY)
        self._srt.srt_close(self._socket)
        self._srt.srt_cleanup()

    def _set(self, option: int, value: bytes) -> None:
        self._checked(self._srt.srt_setsockflag(self._socket, option, value, len(value)))

    def _checked(self, result: int) -> int:
        if result < 0:
            raise OSError(errno.EIO, self._srt.srt_getlasterror_str().decode(errors="replace"))
        return result


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
