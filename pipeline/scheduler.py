"""Which frames are let in, and which rows run next. Knows nothing of tensors' contents.

Two schedules that give the same pictures (tests/pipeline/test_engine.py):

    step-major    a session has one frame in flight; its steps run back to back. Shortest delay.
    stream-batch  a session has as many frames in flight as steps; each call moves all of them one
                  step on (StreamDiffusion). Full batches from one session, n - 1 periods of delay.

They differ in how many frames a session may have in flight and in nothing else. When no new frame
comes, those in flight go on: a stream-batch drains by itself. "auto" is step-major for as long as
that keeps up with the cameras, and stream-batch where only full batches do.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.config import ScheduleName
from pipeline.slots import Slot

PERIOD = 1 / 30  # seconds between frames of a camera; also what a frame may take until it is late
_WORTH = 0.9  # a batch that saves less than this is not worth its delay


@dataclass(frozen=True, slots=True)
class Load:
    """What a UNet call costs on this machine, and for how many it works now."""

    once: float  # seconds of a call, whatever its rows: weights, launches
    row: float  # seconds of each row
    sessions: int = 1  # that sent a frame within the last second

    def call(self, rows: int) -> float:
        """Estimate the seconds of a call."""
        return self.once + self.row * rows


def depth(schedule: ScheduleName, steps: int, most_rows: int, load: Load) -> int:
    """Say how many frames a session may have in flight."""
    if schedule == "step-major" or steps <= 1:
        return 1
    if schedule == "stream-batch":
        return steps
    together = min(load.sessions, most_rows)
    back_to_back = steps * load.call(together)  # for one frame of each session
    if back_to_back <= PERIOD:
        return 1
    full = load.call(min(load.sessions * steps, most_rows))
    full *= max(1, load.sessions * steps / most_rows)
    return steps if full < _WORTH * back_to_back else 1


def pick(slots: Sequence[Slot], most_rows: int) -> list[Slot]:
    """Choose the frames that take a step in the next call: earliest deadline first.

    Of equal deadlines the frame that is further on goes first, so that what was begun gets done. A
    frame's guidance rows stay with it. One frame always fits, so `most_rows` = 1 still moves.
    """
    chosen: list[Slot] = []
    waiting: set[str] = set()  # sessions whose older frame had no room: theirs go in order
    free = most_rows
    for slot in sorted(slots, key=lambda slot: (slot.deadline, -slot.index, slot.order)):
        if slot.session not in waiting and (slot.rows <= free or not chosen):
            chosen.append(slot)
            free -= slot.rows
        else:
            waiting.add(slot.session)
    return chosen
