"""The first frames, which nobody sees: kernels load, and what a call costs is measured."""

from typing import TYPE_CHECKING

import numpy as np

from pipeline.params import StyleParams
from pipeline.scheduler import Load

if TYPE_CHECKING:
    from pipeline.engine import Engine

_SESSION = "warm-up"
_FRAMES, _LONG_MS = 4, 3000  # fewer frames where each takes long
_PLAIN = StyleParams(guidance_scale=1.0, deflicker=0.0)


def measure(engine: "Engine") -> tuple[float, Load]:
    """Run frames of one step; give milliseconds a frame, and what a UNet call costs."""
    engine.open(_SESSION)
    engine.denoising.waits = True
    try:
        times, calls = [], []
        for number in range(_FRAMES):
            total, unet = _run(engine, number, 1)
            times.append(total)
            calls.append(unet)
            if sum(times) > _LONG_MS:
                break
        one = min(calls) / 1000
        row = one  # without batches each row is a call
        if engine.networks.batches:
            two = min(_run(engine, number, 2)[1] for number in (10, 20)) / 1000
            row = min(max(two - one, 0.0), one)
        if engine.networks.device.type != "cpu":  # there the first such frames take no longer
            run_the_rest(engine)
        return min(times), Load(one - row, row)
    finally:
        engine.denoising.waits = False
        engine.close(_SESSION)


def run_the_rest(engine: "Engine") -> None:
    """Run what first visitors would wait for: what looks back, guidance, and a full call."""
    for number in (30, 31):
        _run(engine, number, 1, StyleParams())
    _run(engine, 40, engine.config.max_rows)


def _run(
    engine: "Engine", number: int, frames: int, style: StyleParams = _PLAIN
) -> tuple[float, float]:
    """Restyle black frames, in one call if it may have as many rows; give milliseconds in all, and
    those in the UNet.
    """
    image = np.zeros((engine.config.height, engine.config.width, 3), np.uint8)
    for frame in range(number, number + frames):
        engine.submit(_SESSION, frame, image, style)
    results = []
    while engine.in_flight:
        results += engine.tick()
    stages = [sum(result.stages_ms.values()) for result in results]
    return sum(stages), sum(result.stages_ms["unet"] for result in results)
