"""Prompts on their way, one a frame in flight, are part of what a session is said to take."""

from dataclasses import replace

import pytest

from pipeline.models import vram
from pipeline.models.folder import open_folder
from pipeline.params import StyleParams
from tests.pipeline.conftest import Bench, picture
from tests.pipeline.test_vram import held


@pytest.mark.parametrize(("schedule", "frames"), [("stream-batch", 8), ("step-major", 1)])
def test_prompts_of_all_frames_in_flight_are_counted(
    bench: Bench, schedule: str, frames: int
) -> None:
    engine, _ = bench.engine("sdxl", schedule=schedule)
    engine.open("ann")
    first = StyleParams(
        prompt="ink", negative_prompt="oil", steps=8, strength=1.0, guidance_scale=1.0
    )
    engine.submit("ann", 0, picture(), first, 0.0)
    while engine.in_flight:
        engine.tick()
    number = 0
    while engine.wants("ann", 8):  # each of another time, between the same two prompts
        number += 1
        style = replace(first, prompt="night", negative_prompt="cat", travel=99.0)
        engine.submit("ann", number, picture(), style, float(number))

    state = engine._sessions["ann"]
    prompts = [(slot.prompt, slot.negative) for slot in engine._slots]
    ends = [(t._start, t._goal) for t in (state._prompt, state._negative)]
    kept = held([prompts, ends], set())

    config = bench.config("sdxl", schedule=schedule)
    folder = open_folder(config)
    assert number == frames
    assert kept == (2 * frames + 4) * engine._prompts.get("ink").nbytes
    counted = vram.estimate(folder, config, "cpu").session
    one = 4 * vram._prompt(folder)
    assert kept <= (2 * frames + 4) * one < counted
    either = vram.estimate(folder, bench.config("sdxl", schedule="auto"), "cpu").session
    assert either - counted == 2 * (8 - frames) * one  # "auto" may become both
