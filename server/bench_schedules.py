"""Restyle's own stream batch beside step-major: pictures a second, and how old they are."""

import time
from collections import Counter
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from pipeline.comparison.playing import Bench, Played, in_turns
from pipeline.engine import Engine
from pipeline.errors import PipelineError
from pipeline.params import StyleParams
from pipeline.results import Image
from pipeline.scheduler import PERIOD
from streams.simulation import Camera, WallTime, simulate

SCHEDULES = ("step-major", "stream-batch")
STEPS = 4
_AGES = 3  # of a stream batch's pictures: for so long a camera sends at least
_PEOPLE = (1, 4)  # a stream batch is full with one, step-major with as many as there are steps


def schedules(bench: Bench, style: StyleParams, frames: int, seconds: float) -> dict[str, Any]:
    """Give both schedules' frames a second flat out, and the age of one camera's pictures.

    Ages are also given as shares of the three periods of a camera that frames of a stream batch
    wait for one another. The camera sends for as many seconds, or longer where frames take long.
    """
    four = replace(style, steps=STEPS)
    benches = {name: bench.alike(schedule=name) for name in SCHEDULES}
    found: dict[str, Any] = {name: {} for name in SCHEDULES}
    for people in _PEOPLE:
        styles = {f"p{i}": four for i in range(people)}
        plays = {name: partial(each.play, styles) for name, each in benches.items()}
        played = in_turns(plays, frames // people, turns=2)
        for name in SCHEDULES:
            found[name] |= _flat_out(played[name], people)
    for name, each in benches.items():
        # a slow machine's stream batch has given nothing back when others have shown hundreds
        enough = max(seconds, _AGES * STEPS / found[name]["fps_of_1"])
        age = live(each.engine, each.images, [Camera("live", style=four)], enough)
        found[name] |= {
            "camera_fps": age["fps_each"],
            "age_p50_ms": age["p50_ms"],
            "age_p99_ms": age["p99_ms"],
            "age_in_waiting": round(age["p50_ms"] / waiting_ms(), 3),
        }
    return found | {"beside": _beside(*(found[name] for name in SCHEDULES))}


def waiting_ms() -> float:
    """Give the milliseconds for which a full stream batch waits for a camera's next frames."""
    return 1000 * (STEPS - 1) * PERIOD


def _flat_out(played: Played, people: int) -> dict[str, float]:
    return {
        f"fps_of_{people}": round(played.fps, 2),
        f"rows_per_call_of_{people}": round(played.rows / played.calls, 2),
    }


def _beside(ours: dict[str, float], batch: dict[str, float]) -> dict[str, float]:
    """Give step-major's throughput and age as shares of a stream batch's."""
    names = [f"fps_of_{people}" for people in _PEOPLE]
    return {
        **{name: round(ours[name] / batch[name], 2) for name in names},
        "age_p50_ms": round(ours["age_p50_ms"] / batch["age_p50_ms"], 2),
    }


def live(
    engine: Engine, images: list[Image], cameras: list[Camera], seconds: float
) -> dict[str, float]:
    """Let people send as cameras do, in real time; say how late the pictures come.

    The first quarter does not count: state and kernels are new. Raises PipelineError when nothing
    came out after it.
    """
    for camera in cameras:
        engine.prepare(camera.style)
    began = time.monotonic()
    served = simulate(engine, WallTime(), cameras, seconds, images=images)
    for camera in cameras:
        engine.close(camera.name)
    settled = [frame for frame in served if frame.arrived > began + seconds / 4]
    if not settled:
        raise PipelineError(f"no picture came out within {seconds} s")
    ages = [1000 * (frame.finished - frame.arrived) for frame in settled]
    counts = Counter(frame.session for frame in settled)
    return {
        "fps_each": round(min(counts[c.name] for c in cameras) / (0.75 * seconds), 1),
        "p50_ms": round(float(np.percentile(ages, 50)), 2),
        "p99_ms": round(float(np.percentile(ages, 99)), 2),
    }
