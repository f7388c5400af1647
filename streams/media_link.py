"""What crosses between the server's process and a media process: messages and pictures.

Messages are JSON, not pickle: a media process reads what strangers send, so what a hole in a
decoder makes of it must not be able to run code in the server.
"""

import asyncio
import json
import math
import socket
import struct
import threading
from contextlib import suppress
from fractions import Fraction
from multiprocessing.shared_memory import SharedMemory
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from streams.convert import i420
from streams.frame import Frame

Message = dict[str, Any]

_HEAD = struct.Struct("!II")  # bytes of JSON, bytes of what follows it
_MOST_BYTES = 2**20  # of either
_SLOTS = 3  # one is written, one is read, one is between
_LARGEST = 2048 * 1088 * 3 // 2  # bytes; more than any picture that is let in or made
_COUNT = 8  # bytes before a picture: which one it is


class Link:
    """Messages both ways, in order. Sending never waits."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    @classmethod
    async def over(cls, end: socket.socket) -> "Link":
        """Make one of an end of a socket pair; it owns it from now on."""
        return cls(*await asyncio.open_unix_connection(sock=end))

    def send(self, packed: bytes) -> None:
        """Send what `pack` gave; on the loop."""
        if not self._writer.is_closing():
            self._writer.write(packed)

    async def receive(self) -> tuple[Message, bytes]:
        """Wait for the next one. Raises EOFError at the end, ValueError for nonsense."""
        try:
            head, tail = _HEAD.unpack(await self._reader.readexactly(_HEAD.size))
            if max(head, tail) > _MOST_BYTES:
                raise ValueError(f"a message of {head} and {tail} bytes")
            text = await self._reader.readexactly(head)
            data = await self._reader.readexactly(tail)
        except (asyncio.IncompleteReadError, OSError) as error:
            raise EOFError from error
        try:
            message = json.loads(text)
        except RecursionError as error:
            raise ValueError("a message too deep") from error
        if not isinstance(message, dict):
            raise ValueError("a message that is no object")
        return message, data

    def close(self) -> None:
        """Close; the other side's `receive` ends."""
        self._writer.close()


def pack(do: str, data: bytes = b"", **fields: Any) -> bytes:
    """Make the bytes of a message; in any thread."""
    text = json.dumps({"do": do, **fields}).encode()
    return _HEAD.pack(len(text), len(data)) + text + data


def number(value: Any) -> float:
    """Give a number that a message holds. Raises ValueError or TypeError for what is none."""
    if not math.isfinite(value):
        raise ValueError(f"{value} in a message")
    return float(value)


def without_picture(frame: Frame) -> list[int]:
    """Give what a message tells of a frame, whose picture crosses in shared memory."""
    base = frame.time_base
    return [frame.number, frame.pts, base.numerator, base.denominator, frame.arrived_ns]


def with_picture(told: list[int], picture: av.VideoFrame) -> Frame:
    """Make the frame again. Raises whatever nonsense breaks."""
    count, pts, above, below, arrived_ns = (int(each) for each in told)
    return Frame(count, pts, Fraction(above, below), arrived_ns, picture)


class Pictures:
    """Pictures on their way from one process to the other, in shared memory.

    One side writes, the other reads; nobody waits. What was overwritten before it was read is no
    picture any more: a newer one is on its way then.
    """

    def __init__(self, name: str | None = None) -> None:
        """Make the memory, or take that of a name."""
        size = _SLOTS * (_COUNT + _LARGEST)  # what no picture reaches is never touched
        self._memory = SharedMemory(create=True, size=size) if name is None else SharedMemory(name)
        self._lock = threading.Lock()
        self._written = 0
        self._closed = False

    @property
    def name(self) -> str:
        """Under which name the other side finds it, until `forget_name`."""
        return self._memory.name

    def forget_name(self) -> None:
        """Take the name away, once both sides hold it: no way of dying leaves it behind then."""
        self._memory.unlink()

    def write(self, picture: av.VideoFrame) -> Message | None:
        """Leave a picture; give what `read` needs. None if it is too large or all is closed."""
        planes = i420(picture)
        if planes.nbytes > _LARGEST:
            return None
        with self._lock:  # two threads may show pictures: the engine's, and the loop under bypass
            if self._closed:
                return None
            count, pixels = self._slot(self._written)
            count[:] = 0  # from here on it is neither the old one nor the new
            pixels[: planes.nbytes].reshape(planes.shape)[:] = planes
            self._written += 1
            count[:] = self._written
            return {"picture": self._written, "wide": planes.shape[1], "high": picture.height & ~1}

    def read(self, picture: int, wide: int, high: int) -> av.VideoFrame | None:
        """Give a copy of a picture, if it is still there. Raises ValueError for an absurd size."""
        size = wide * high * 3 // 2
        if min(picture, wide, high) < 1 or size > _LARGEST or wide % 2 or high % 2:
            raise ValueError(f"picture {picture} of {wide} x {high}")
        with self._lock:
            if self._closed:
                return None
            count, pixels = self._slot(picture - 1)
            planes = pixels[:size].reshape(high * 3 // 2, wide)
            frame = av.VideoFrame.from_ndarray(planes, format="yuv420p")
            return frame if count[0] == picture else None

    def close(self) -> None:
        """Give the memory back; may be called again."""
        with self._lock:
            self._closed = True
            with suppress(BufferError):
                self._memory.close()

    def _slot(self, number: int) -> tuple[NDArray[np.uint64], NDArray[np.uint8]]:
        start = number % _SLOTS * (_COUNT + _LARGEST)
        count: NDArray[np.uint64] = np.ndarray((1,), np.uint64, self._memory.buf, start)
        return count, np.ndarray((_LARGEST,), np.uint8, self._memory.buf, start + _COUNT)
