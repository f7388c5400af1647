"""How long each stage of a frame takes.

On a GPU by events in its queue: the host only fills that, so its clock would tell of launches. They
are read once a picture was waited for, when all that came before it is done.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch

Stages = dict[str, float]  # milliseconds by stage
Events = tuple[torch.cuda.Event, torch.cuda.Event]  # before and after


class StageTimes:
    """Adds what calls take to the stages of the frames in them."""

    def __init__(self, device: torch.device, clock: Callable[[], float]) -> None:
        self._on_gpu, self._clock = device.type == "cuda", clock
        self._free: list[Events] = []  # events are used again: none is made once enough are there
        self._pending: list[tuple[Events, str, list[tuple[Stages, float]]]] = []

    @contextmanager
    def span(self, stage: str, frames: list[Stages], rows: list[int]) -> Iterator[None]:
        """Add what runs inside to a stage of frames, to each by its rows."""
        shares = [(each, own / sum(rows)) for each, own in zip(frames, rows, strict=True)]
        if not self._on_gpu:
            started = self._clock()
            yield
            _add(stage, shares, 1000 * (self._clock() - started))
            return
        events = self._free.pop() if self._free else (_event(), _event())
        events[0].record()
        yield
        events[1].record()
        self._pending.append((events, stage, shares))

    def settle_sync(self) -> None:
        """Add what ran on a GPU; waits for the last of it."""
        if self._pending:
            self._pending[-1][0][1].synchronize()
        for events, stage, shares in self._pending:
            _add(stage, shares, events[0].elapsed_time(events[1]))
            self._free.append(events)
        self._pending.clear()


def _add(stage: str, shares: list[tuple[Stages, float]], spent: float) -> None:
    for stages, share in shares:
        stages[stage] = stages.get(stage, 0.0) + share * spent


def _event() -> torch.cuda.Event:
    return torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]  # torch's own gap
