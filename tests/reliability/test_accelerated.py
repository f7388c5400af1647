"""The accelerated soak in small: `make soak ARGS=--accelerated` has the frames of eight hours."""

import gc

import pytest

from tests.reliability.accelerated import accelerated
from tests.reliability.gc_pauses import GcPauses, told


@pytest.mark.slow
async def test_frames_leave_nothing_and_a_slow_engine_makes_no_queue() -> None:
    figures, limits, _ = await accelerated(800, 2)
    fast, slow = figures["full speed"], figures["throttled"]
    assert fast["frames"] == 800
    assert fast["not_inverted"] < 80, fast  # untouched ones: this machine stood still
    assert 0 < slow["frames"] <= 7, slow
    of_time = ("age", "garbage", "restyled", "thread")  # a pool's threads begin when needed
    broken = [name for name, kept in limits.items() if not kept]
    assert not [name for name in broken if not any(word in name for word in of_time)], figures


def test_the_longest_pause_is_noted_and_told() -> None:
    heard: list[float] = []
    with GcPauses(heard.append) as pauses:
        gc.collect()
    gc.collect()
    assert len(heard) == 1
    assert pauses.longest_ms == heard[0] > 0
    lines = ["a line", "the garbage collector took 3.5 ms", "the garbage collector took 12.0 ms"]
    assert told(lines) == 12.0
    assert told(lines[:1]) == 0.0
