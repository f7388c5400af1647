"""A prompt that changes while frames are in flight, in every type of guidance."""

from dataclasses import replace

import pytest

from pipeline.guidance import Guidance, choose
from pipeline.params import StyleParams
from tests.pipeline.conftest import Bench, alone, apart, drain, noting_latents, picture


@pytest.mark.parametrize("kind", ["none", "self", "initialize", "full"])
def test_frames_before_and_after_a_new_prompt_are_each_what_they_are_alone(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, kind: Guidance
) -> None:
    """T1.7: a full stream batch, half of it of the old prompt, every prompt of the same shape."""
    latents = noting_latents(monkeypatch)
    old = StyleParams(
        prompt="ink", negative_prompt="night", steps=4, strength=0.6, guidance=kind,
        guidance_scale=1.7,
    )  # fmt: skip
    new = replace(old, prompt="oil", negative_prompt="ink and night")
    assert choose(old) == choose(new) == kind
    engine, networks = bench.engine("turbo", schedule="stream-batch")
    engine.open("ann")
    styles = [old] * 5 + [new] * 5
    shapes = set()
    for number, style in enumerate(styles):
        assert engine.wants("ann", 4)
        engine.submit("ann", number, picture(number), style)
        shapes |= {each.shape for slot in engine._slots for each in (slot.prompt, slot.negative)}
        engine.tick()
    drain(engine)
    rows = {"none": 4, "self": 4, "initialize": 5, "full": 8}[kind]
    assert networks.rows[3:10] == [rows] * 7  # through the change, too
    assert len(shapes) == 1

    fresh, _ = bench.engine("turbo")
    for number, style in enumerate(styles):
        alone(fresh, picture(number), style)
        assert apart(latents["ann", number], latents["alone", 0]) < 1e-4, number
