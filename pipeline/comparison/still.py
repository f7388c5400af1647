"""What the similarity filter saves, of a still picture and of one that moves."""

import time
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from pipeline.comparison.energy import NOTHING, Meter
from pipeline.comparison.playing import Bench, Played, in_turns
from pipeline.params import StyleParams
from pipeline.results import Image
from pipeline.similarity import SimilarityFilter

FILTER = 0.98
_FPS = 30.0
_LOOP = 32  # pictures until the moving scene is where it was
_NOISE = 2  # grey levels of a sensor's noise
_DECISIONS = 200


def similarity(
    bench: Bench, style: StyleParams, frames: int, meter: Meter | None
) -> dict[str, Any]:
    """Give time and energy a frame with the filter off and on, and the shares that it saves.

    A camera sends 30 frames a second; where the machine cannot follow, it goes as fast as it can.
    """
    height, width = bench.engine.info.height, bench.engine.info.width
    found: dict[str, Any] = {"filter": FILTER, "energy": meter.name if meter else NOTHING}
    for scene, step in (("still", 0), ("moving", max(1, width // _LOOP))):
        camera = bench.alike(pictures(width, height, step))
        plays = {
            name: partial(_play, camera, replace(style, similarity_filter=eta), meter)
            for name, eta in (("off", 0.0), ("on", FILTER))
        }
        ways = {n: _figures(played) for n, played in in_turns(plays, frames, turns=2).items()}
        off, on = ways["off"], ways["on"]
        saved = {name: round(1 - on[name] / off[name], 3) for name in off if off[name]}
        found[scene] = {**ways, "saved": saved}
    found["ms_to_decide"] = _decision_ms(pictures(width, height, 0))
    return found


def _play(camera: Bench, style: StyleParams, meter: Meter | None, frames: int) -> Played:
    return camera.play({"a": style}, frames, _FPS, meter)


def _figures(played: Played) -> dict[str, float]:
    found = {
        "skipped": round(played.skipped / played.frames, 3),
        "ms_per_frame": played.ms(played.busy),
        "processor_ms_per_frame": played.ms(played.processor),
    }
    if played.joules:
        found["joules_per_frame"] = round(played.joules / played.frames, 3)
        found["watts"] = round(played.joules / played.seconds, 1)
    return found


def _decision_ms(images: list[Image]) -> float:
    """Give the milliseconds in which the filter decides about one picture."""
    similar = SimilarityFilter()
    began = time.perf_counter()
    for number in range(_DECISIONS):
        similar.skips(images[number % len(images)], FILTER)
    return round(1000 * (time.perf_counter() - began) / _DECISIONS, 3)


def pictures(width: int, height: int, step: int) -> list[Image]:
    """Make pictures as a camera does: one scene that moves `step` pixels a frame to the left, and
    the sensor's own noise in each. Zeros would run faster.
    """
    random = np.random.default_rng(0)
    y, x = np.mgrid[:height, :width] / max(height, width)
    scene = 128 + 80 * np.sin(9 * x[..., None] + np.arange(3)) * np.cos(7 * y[..., None])
    found = []
    for number in range(_LOOP):
        noisy = np.roll(scene, -number * step, 1) + random.normal(0, _NOISE, scene.shape)
        found.append(np.clip(noisy, 0, 255).astype(np.uint8))
    return found
