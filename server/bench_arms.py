"""What both kinds of `restyle bench engine` measure of an engine, besides their own."""

import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

from pipeline.comparison.autoencoders import autoencoders
from pipeline.comparison.energy import find_meter
from pipeline.comparison.guided import guidance
from pipeline.comparison.measuring import attempt
from pipeline.comparison.playing import Bench
from pipeline.comparison.still import similarity
from pipeline.params import StyleParams
from server.bench_schedules import schedules

Progress = Callable[[str], None]


def load() -> list[float] | None:
    """Give the machine's load averages of 1, 5 and 15 minutes: figures of a busy one are worse."""
    with suppress(OSError):  # not on every system
        return [round(value, 2) for value in os.getloadavg()]
    return None


@dataclass(frozen=True, slots=True)
class Length:
    """How long is measured: longer is steadier."""

    frames: int = 48  # of each way
    camera_s: float = 4.0  # that a camera sends in real time


def measure_arms(
    bench: Bench, style: StyleParams, length: Length, missing: dict[str, str], say: Progress
) -> dict[str, Any]:
    """Measure. An arm that fails is left out, and `missing` says why."""
    meter = find_meter(bench.device)
    camera_frames = round(30 * length.camera_s)
    arms: dict[str, Callable[[], dict[str, Any]]] = {
        "guidance": partial(guidance, bench, style, length.frames),
        "schedules": partial(schedules, bench, style, length.frames // 2, length.camera_s),
        "autoencoders": partial(autoencoders, bench, style, length.frames // 2, say),
        "similarity": partial(similarity, bench, style, camera_frames, meter),
    }
    found: dict[str, Any] = {}
    for name, measure in arms.items():
        say(name)
        with attempt(name, missing):
            found[name] = measure()
    return found
