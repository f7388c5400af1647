"""Copies beside the computing stream: whatever runs late or early, everybody reads what was meant.

Streams here are lists of work that the host only fills. Two extremes are run: nothing before the
host waits for it, and copies as soon as their events allow while the computing stream lags behind.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import torch
from torch import Tensor

from pipeline.backends import transfer
from pipeline.backends.transfer import Download, Upload


class Machine:
    """Runs what streams hold; `waited` counts how often the host really had to wait."""

    def __init__(self, early: bool) -> None:
        self.early, self.waited = early, 0
        self.computing = self.current = Stream(self)
        self.streams: list[Stream] = [self.computing]

    @contextmanager
    def on(self, stream: "Stream") -> Iterator[None]:
        before, self.current = self.current, stream
        yield
        self.current = before
        if self.early:
            for each in self.streams[1:]:
                each.run()


class Stream:
    """Work in order; `run` stops at an event that was not reached."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.work: list[Callable[[], bool]] = []

    def do(self, what: Callable[[], object]) -> None:
        self.work.append(lambda: what() is not self)

    def run(self) -> None:
        while self.work and self.work[0]():
            self.work.pop(0)

    def finish(self) -> None:
        self.run()
        while self.work:
            before = sum(len(each.work) for each in self.machine.streams)
            for each in self.machine.streams:
                each.run() if each is not self else None
            self.run()
            assert sum(len(each.work) for each in self.machine.streams) < before, "a deadlock"


class Event:
    """As CUDA's: who waits, waits for the record that was the last one then."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.recorded, self.reached = 0, 0
        self.stream: Stream | None = None

    def record(self) -> None:
        self.recorded += 1
        number, self.stream = self.recorded, self.machine.current

        def reach() -> None:
            self.reached = max(self.reached, number)

        self.stream.do(reach)

    def wait(self) -> None:
        number = self.recorded
        self.machine.current.work.append(lambda: self.reached >= number)

    def synchronize(self) -> None:
        number = self.recorded
        if self.reached >= number:
            return
        self.machine.waited += 1
        while self.reached < number:
            before = sum(len(each.work) for each in self.machine.streams)
            assert self.stream is not None
            for each in [self.stream, *self.machine.streams]:
                each.run()
                if self.reached >= number:
                    return
            assert sum(len(each.work) for each in self.machine.streams) < before, "a deadlock"


class Queued(torch.Tensor):
    """A tensor whose copies that nobody waits for go into the current stream."""

    machine: Machine

    def copy_(self, value: Tensor, non_blocking: bool = False) -> Tensor:  # type: ignore[override]
        if not non_blocking:
            return super().copy_(value)
        self.machine.current.do(lambda: torch.Tensor.copy_(self, value))
        return self


@pytest.fixture(params=[True, False], ids=["copies early", "all late"])
def machine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Machine:
    made = Machine(request.param)

    def stream(device: torch.device) -> Stream:
        made.streams.append(Stream(made))
        return made.streams[-1]

    empty = torch.empty

    def queued(shape: tuple[int, ...], *, dtype: torch.dtype, **where: object) -> Tensor:
        tensor = empty(shape, dtype=dtype).fill_(0).as_subclass(Queued)
        return tensor

    monkeypatch.setattr(Queued, "machine", made, raising=False)
    monkeypatch.setattr(torch.cuda, "Stream", stream)
    monkeypatch.setattr(torch.cuda, "stream", made.on)
    monkeypatch.setattr(transfer, "_event", lambda device: Event(made))
    monkeypatch.setattr(torch, "empty", queued)
    return made


GPU = torch.device("cuda")


def numbered(number: int, rows: int = 3) -> Tensor:
    return torch.arange(rows * 2, dtype=torch.uint8).view(rows, 2) + 10 * number


def uploaded(machine: Machine, upload: Upload, value: Tensor) -> list[Tensor]:
    """Queue the reading of each row; what was read is there once the stream has run."""
    read = []
    for row in upload.rows(value):
        read.append(torch.zeros_like(row).as_subclass(torch.Tensor))

        def take(to: Tensor = read[-1], row: Tensor = row) -> None:
            to.copy_(row)

        machine.computing.do(take)
    return read


def test_each_row_is_read_as_it_was_sent(machine: Machine) -> None:
    upload = Upload((3, 2), torch.uint8, GPU)

    read = [uploaded(machine, upload, numbered(number)) for number in range(6)]
    machine.computing.finish()

    for number, rows in enumerate(read):
        assert torch.equal(torch.cat(rows), numbered(number)), number


def test_the_host_waits_for_no_copy_that_is_two_turns_ago(machine: Machine) -> None:
    upload = Upload((3, 2), torch.uint8, GPU)
    for number in range(6):
        uploaded(machine, upload, numbered(number))
        if number % 2:
            machine.computing.finish()  # a frame was fetched
    assert machine.waited == 0


def test_a_row_goes_in_beside_what_was_queued_before(machine: Machine) -> None:
    upload = Upload((3, 2), torch.uint8, GPU)
    uploaded(machine, upload, numbered(0))
    machine.computing.work.append(lambda: False)  # a UNet that takes long

    uploaded(machine, upload, numbered(1))

    for each in [machine.computing, *machine.streams[1:]]:
        each.run()
    assert len(machine.computing.work) > 1
    place = upload._places[1].there  # it had its turn
    assert torch.equal(place.as_subclass(torch.Tensor), numbered(1))


def test_what_is_fetched_is_what_was_made(machine: Machine) -> None:
    download = Download((3, 2), torch.uint8, GPU)

    def made(value: Tensor) -> Iterator[Tensor]:
        for row in torch.split(value, 1):
            result = torch.zeros_like(row)

            def decode(result: Tensor = result, row: Tensor = row) -> None:
                result.copy_(row)

            machine.computing.do(decode)
            yield result

    for number in range(4):
        fetched = download.wait_sync(made(numbered(number)))
        assert torch.equal(fetched.as_subclass(torch.Tensor), numbered(number))


def test_a_picture_comes_out_while_the_next_is_made(machine: Machine) -> None:
    download, seen = Download((3, 2), torch.uint8, GPU), []
    pinned = download._pinned.as_subclass(torch.Tensor)

    def made() -> Iterator[Tensor]:
        for row in torch.split(numbered(1), 1):
            machine.computing.do(lambda: [each.run() for each in machine.streams[1:]])
            machine.computing.do(lambda: seen.append(int(pinned.any(1).sum())))
            yield row

    download.wait_sync(made())

    assert seen == [0, 1, 2]  # pictures that were there when each was decoded
