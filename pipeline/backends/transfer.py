"""Bytes between host and GPU: pinned buffers that stay, streams of their own, one place to wait.

A picture goes in while the GPU computes what was queued before, and comes out while it decodes the
next one.
"""

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor


class Upload:
    """Sends arrays of the shape `[rows, *rest]`, or with fewer rows, without waiting for them.

    Two places take turns: the host fills one while what is in the other is still on its way or
    read. A place is filled again only behind what had been queued when its turn ended.
    """

    def __init__(self, shape: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> None:
        self._copies = _Copies(device)
        self._places = [_Place(shape, dtype, device) for _ in range(2)]

    def rows(self, value: Tensor) -> Iterator[Tensor]:
        """Give each row on the device, `[1, *rest]`, to be read by what is queued next.

        A row holds until the second call after this one. The next is copied while it is read.
        """
        place, before = self._places
        self._places.reverse()
        place.sent.synchronize()  # two calls ago, so nearly always long since
        before.read.record()  # whatever reads it is queued by now
        for row, given in enumerate(value):
            place.pinned[row].copy_(given)
            self._copies.copy(place.there[row], place.pinned[row], place.read, place.sent)
            place.sent.wait()  # what is queued from here on does; the host does not
            yield place.there[row : row + 1]


class Download:
    """Fetches arrays of the shape `[rows, *rest]`, or with fewer rows."""

    def __init__(self, shape: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> None:
        self._copies = _Copies(device)
        self._pinned = _pinned(shape, dtype, device)
        self._made, *self._arrived = (_event(device) for _ in range(1 + shape[0]))

    def wait_sync(self, rows: Iterable[Tensor]) -> Tensor:
        """Fetch rows of `[1, *rest]`, each while the next is made; gives a copy, `[rows, *rest]`.

        The only place of a frame that waits for the GPU.
        """
        held: list[
            Tensor
        ] = []  # until they have arrived: their memory is another stream's, which may give it on
        for row in rows:
            self._made.record()
            at = len(held)
            self._copies.copy(self._pinned[at], row[0], self._made, self._arrived[at])
            held.append(row)
        fetched = torch.empty_like(self._pinned[: len(held)], pin_memory=False)
        for at in range(len(held)):
            self._arrived[at].synchronize()
            fetched[at].copy_(self._pinned[at])
        return fetched


def send(value: Tensor, device: torch.device) -> Tensor:
    """Copy a host tensor of any shape to a device; never waits for what is queued there."""
    if device.type != "cuda":
        return value.to(device)
    # PyTorch keeps pinned buffers, and gives none out again before its copy is done
    return value.pin_memory().to(device, non_blocking=True)


class _Place:
    """Where an array is on both sides."""

    def __init__(self, shape: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> None:
        self.pinned = _pinned(shape, dtype, device)
        self.there = torch.empty(shape, dtype=dtype, device=device)
        self.sent, self.read = _event(device), _event(device)


class _Copies:
    """A stream that copies beside the one that computes; on a CPU each copy is done at once."""

    def __init__(self, device: torch.device) -> None:
        self._stream = None
        if device.type == "cuda":
            self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]  # torch's gap

    def copy(self, to: Tensor, value: Tensor, after: "_Event", done: "_Event") -> None:
        """Copy behind what `after` marks; `done` marks the end."""
        if self._stream is None:
            to.copy_(value)
            return
        with torch.cuda.stream(self._stream):
            after.wait()
            to.copy_(value, non_blocking=True)
            done.record()


class _Past:
    """What marks the end of something on a CPU, where it is over once it was said."""

    def record(self) -> None: ...

    def wait(self) -> None: ...

    def synchronize(self) -> None: ...


_Event = torch.cuda.Event | _Past


def _event(device: torch.device) -> _Event:
    if device.type != "cuda":
        return _Past()
    return torch.cuda.Event()  # type: ignore[no-untyped-call]  # torch has no types here


def _pinned(shape: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    return torch.empty(shape, dtype=dtype, pin_memory=device.type == "cuda")
