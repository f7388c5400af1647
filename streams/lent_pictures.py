"""Pictures in shared memory, from one process to another with one copy, the writer's."""

import math
from multiprocessing.shared_memory import SharedMemory

import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]
_MARKS = 4096  # bytes before the pictures: which places are taken


class Places:
    """Places for pictures: one side writes, the other looks at them where they lie.

    A place is taken until the last array that looks at it has gone, in whichever thread. While all
    are taken place 0 serves, which is copied out at once: it holds one picture a message. One
    thread writes.
    """

    def __init__(self, memory: SharedMemory, number: int, count: int, largest: int) -> None:
        """Take part `number` of a memory that has several alike: `count` places and place 0,
        each of `largest` bytes.
        """
        self._memory = memory
        start = number * bytes_of(count, largest)
        # arrays do not keep the memory mapped, so whoever holds one holds this, too
        self._taken = np.ndarray((1 + count,), np.uint8, memory.buf, start)
        self._rooms = np.ndarray((1 + count, largest), np.uint8, memory.buf, start + _MARKS)

    def write(self, picture: Bytes) -> int:
        """Leave a picture and give its place: the first that is free, so few are ever touched."""
        place = next((each for each, taken in enumerate(self._taken) if each and not taken), 0)
        if place:
            self._taken[place] = 1
        self._view(place, picture.shape)[:] = picture
        return place

    def read(self, place: int, shape: tuple[int, ...]) -> Bytes:
        """Give the picture of a shape that was left at a place."""
        picture = self._view(place, shape)
        return np.asarray(_Lent(self, picture, place)) if place else picture.copy()

    def let_go(self, place: int) -> None:
        """Say that nobody looks at a place any more."""
        self._taken[place] = 0

    def _view(self, place: int, shape: tuple[int, ...]) -> Bytes:
        return self._rooms[place, : math.prod(shape)].reshape(shape)


def bytes_of(count: int, largest: int) -> int:
    """Give the bytes that one part with `count` places takes."""
    return _MARKS + (1 + count) * largest


def count_of(size: int, largest: int) -> int:
    """Give how many places one part of so many bytes has, beside place 0."""
    return (size - _MARKS) // largest - 1


class _Lent:
    """What arrays of a lent picture, and of parts of it, have as their base."""

    def __init__(self, places: Places, picture: Bytes, place: int) -> None:
        self.__array_interface__ = picture.__array_interface__
        self._places, self._place = places, place

    def __del__(self) -> None:
        self._places.let_go(self._place)
