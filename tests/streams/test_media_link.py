"""Messages and pictures between the server and a media process."""

import asyncio
import socket
import struct
from collections.abc import Iterator
from contextlib import ExitStack

import av
import numpy as np
import pytest

from streams.media_link import Link, Pictures, pack


def picture(value: int, wide: int = 64, high: int = 48) -> av.VideoFrame:
    return av.VideoFrame.from_ndarray(
        np.full((high * 3 // 2, wide), value, np.uint8), format="yuv420p"
    )


@pytest.fixture
def both() -> Iterator[tuple[Pictures, Pictures]]:
    writer = Pictures()
    reader = Pictures(writer.name)
    writer.forget_name()
    with ExitStack() as stack:
        stack.callback(writer.close)
        stack.callback(reader.close)
        yield writer, reader


def test_pictures_of_any_size_cross_unchanged(both: tuple[Pictures, Pictures]) -> None:
    writer, reader = both
    for value, (wide, high) in enumerate([(2, 2), (642, 362), (1920, 1088), (64, 48)]):
        place = writer.write(picture(value, wide, high))
        assert place is not None
        seen = reader.read(**place)
        assert seen is not None
        assert (seen.width, seen.height) == (wide, high)
        assert (seen.to_ndarray() == value).all()


def test_one_that_was_overwritten_is_no_picture_any_more(both: tuple[Pictures, Pictures]) -> None:
    writer, reader = both
    places = [writer.write(picture(value)) for value in range(4)]
    assert None not in places
    assert reader.read(**places[0]) is None  # type: ignore[arg-type]  # its slot has the fourth
    newest = reader.read(**places[3])  # type: ignore[arg-type]
    assert newest is not None
    assert (newest.to_ndarray() == 3).all()


@pytest.mark.parametrize(
    "place",
    [(0, 64, 48), (-1, 64, 48), (1, 0, 48), (1, 63, 48), (1, 64, 47), (1, 65536, 65536)],
)
def test_a_place_that_cannot_be_is_refused(
    both: tuple[Pictures, Pictures], place: tuple[int, int, int]
) -> None:
    with pytest.raises(ValueError, match="picture"):
        both[1].read(*place)


def test_after_its_end_nothing_is_written_or_read(both: tuple[Pictures, Pictures]) -> None:
    writer, reader = both
    place = writer.write(picture(1))
    assert place is not None
    for each in both:
        each.close()
        each.close()
    assert reader.read(**place) is None
    assert writer.write(picture(2)) is None


def test_a_too_large_picture_is_left_out(both: tuple[Pictures, Pictures]) -> None:
    assert both[0].write(picture(1, 4096, 2160)) is None


async def test_messages_cross_in_order_and_end_with_the_link() -> None:
    ours, theirs = socket.socketpair()
    one, other = await Link.over(ours), await Link.over(theirs)
    one.send(pack("sound", b"\x00opus", pts=5))
    one.send(pack("message", "häß".encode()))
    assert await other.receive() == ({"do": "sound", "pts": 5}, b"\x00opus")
    assert await other.receive() == ({"do": "message"}, "häß".encode())
    one.close()
    with pytest.raises(EOFError):
        await other.receive()
    one.send(pack("late"))  # nobody is there: no error
    other.close()


@pytest.mark.parametrize(
    "nonsense",
    [
        struct.pack("!II", 2**31, 0),  # a size that nobody sends
        struct.pack("!II", 2, 0) + b"[]",
        struct.pack("!II", 4, 0) + b"\x80\x04N.",  # a pickle
    ],
)
async def test_nonsense_is_told_apart_from_the_end(nonsense: bytes) -> None:
    ours, theirs = socket.socketpair()
    link = await Link.over(ours)
    theirs.sendall(nonsense)
    with pytest.raises(ValueError):  # noqa: PT011 - json's and ours
        await asyncio.wait_for(link.receive(), 5)
    link.close()
    theirs.close()
