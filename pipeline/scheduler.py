"""Which frames are let in, and which rows run next. Knows nothing of tensors' contents.

Two schedules that give the same pictures (tests/pipeline/test_engine.py):

    step-major    a session has one frame in flight; its steps run back to back. Shortest delay.
    stream-batch  a session has as many frames in flight as steps; each call moves all of them one
                  step on (StreamDiffusion). Full batches from one session, n - 1 periods of delay.

They differ in how many frames a session may have in flight and in nothing else. When no new frame
comes, those in flight go on: a stream-batch drains by itself.
"""

from collections.abc import Sequence

from pipeline.config import ScheduleName
from pipeline.slots import Slot


def may_admit(schedule: ScheduleName, in_flight: int, steps: int) -> bool:
    """Say whether a session with so many frames in flight may send another."""
    return in_flight < (1 if schedule == "step-major" else max(1, steps))


def pick(slots: Sequence[Slot], most_rows: int) -> list[Slot]:
    """Choose the frames that take a step in the next call, oldest admission first.

    A frame's guidance rows stay with it. One frame always fits, so `most_rows` = 1 still moves;
    older frames always go first, so none starves.
    """
    chosen: list[Slot] = []
    free = most_rows
    for slot in sorted(slots, key=lambda slot: slot.order):
        if slot.rows <= free or not chosen:
            chosen.append(slot)
            free -= slot.rows
    return chosen
