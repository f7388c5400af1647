"""Which picture the noise's anchor is compared with, and how much noise is drawn."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipeline import session_noise
from pipeline.denoising import Denoising
from pipeline.flow import FrameMotion, InputFlow, reduce
from pipeline.params import StyleParams
from pipeline.session_noise import CarriedNoise, SessionNoise
from pipeline.slots import Slot
from tests.pipeline.conftest import Bench, moving, picture, play

SIDE = 64
Plane = NDArray[np.float32]
Flow = NDArray[np.float32]


class OpenGate:
    """Lets all motion pass, and remembers which pictures it was asked to compare."""

    asked: list[tuple[Plane, Plane]]

    def __init__(self, anchor: Plane, current: Plane, noise: float) -> None:
        self._pictures = (anchor, current)

    def __call__(self, ahead: Flow, back: Flow) -> tuple[Flow, Flow]:
        self.asked.append(self._pictures)
        return ahead, back


def zoom(scale: float) -> FrameMotion:
    """Motion of a picture that grows about its centre."""
    y, x = np.mgrid[:SIDE, :SIDE].astype(np.float32) - (SIDE - 1) / 2
    there = np.stack([x, y], -1) * np.float32(scale - 1)
    back = np.stack([x, y], -1) * np.float32(1 / scale - 1)
    known = np.ones((SIDE, SIDE), np.bool_)
    return FrameMotion(there, back, known, np.zeros((SIDE, SIDE), np.float32), is_cut=False)


def test_an_anchor_that_is_moved_on_the_way_brings_its_picture(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Three frames of a fast zoom need more children than are stored."""
    monkeypatch.setattr(session_noise, "Gate", OpenGate)
    monkeypatch.setattr(OpenGate, "asked", [], raising=False)
    params = StyleParams(noise="warped", steps=1)
    carried = CarriedNoise(params, (4, SIDE // 4, SIDE // 4), torch.device("cpu"), factor=4)
    flow, seen, anchored = InputFlow(), [], []
    for number in range(5):
        flow.grey = reduce(picture(number))
        seen.append(carried._working(flow.grey))
        OpenGate.asked.clear()
        carried.follow(flow, zoom(1.7) if number else None)
        assert carried._anchor is not None
        anchored.append([n for n, each in enumerate(seen) if np.array_equal(each, carried._anchor)])
        if len(OpenGate.asked) == 2:
            break

    old, new = OpenGate.asked  # the anchor was too old, so the frame before became it
    assert np.array_equal(old[0], seen[anchored[-2][0]])
    assert np.array_equal(new[0], seen[-2])
    assert anchored[-2] != [len(seen) - 2]
    assert anchored[-1] == [len(seen) - 2]
    OpenGate.asked.clear()
    flow.grey = reduce(picture(9))
    carried.follow(flow, zoom(1.0))
    assert np.array_equal(OpenGate.asked[0][0], seen[-2])  # and it stays so


@pytest.mark.parametrize("steps", [1, 3])
def test_fresh_noise_has_one_field_for_each_step(steps: int) -> None:
    noise = SessionNoise((4, 8, 8), torch.device("cpu"), 4)
    params = StyleParams(noise="fresh", steps=steps)

    one, other = noise.still(params), noise.still(params)

    assert one.shape == (steps, 4, 8, 8)
    assert not torch.equal(one, other)


CARRIED = StyleParams(prompt="ink", noise="warped", steps=4, strength=0.4, deflicker=0.0)


def test_carried_noise_of_a_still_picture_is_fixed_noise_and_fixed_noise_carries_none(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """T2.6: bit for bit, where the fixed fields are the anchor, summed to the latents' grid."""
    found = {}
    anchor = CarriedNoise(CARRIED, (4, 8, 8), torch.device("cpu"), 4)._warp.latents()
    for kind in ("warped", "fixed"):
        engine, networks = bench.engine(schedule="stream-batch")
        engine.open("ann")
        if kind == "fixed":
            engine._sessions["ann"].noise._drawn[CARRIED.seed] = anchor.reshape(4, 4, 8, 8)
            monkeypatch.setattr(session_noise, "NoiseWarp", None)  # nobody may make one
        params = replace(CARRIED, noise=kind)
        play(engine, [("ann", n, picture(), params) for n in range(6)])
        found[kind] = torch.cat(networks.latents)

    assert torch.equal(found["warped"], found["fixed"])


def test_a_frame_under_way_keeps_its_noise_and_each_step_takes_its_own_field(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """T2.9: while the noise of younger frames moves on."""
    packs: dict[int, Tensor] = {}
    taken: list[tuple[int, int]] = []
    move_on = Denoising.move_on

    def noisy(slot: Slot, clean: Tensor) -> Tensor:
        step, field = slot.steps[slot.index], packs[slot.number][slot.index : slot.index + 1]
        taken.append((slot.number, slot.index))
        return step.a * clean + step.b * field

    def checked(denoising: Denoising, slot: Slot, clean: Tensor) -> None:
        if not slot.index:
            assert torch.equal(slot.x, noisy(slot, slot.source))
        move_on(denoising, slot, clean)
        if not slot.done:
            assert torch.equal(slot.x, noisy(slot, clean))

    monkeypatch.setattr(Denoising, "move_on", checked)
    engine, networks = bench.engine(schedule="stream-batch")
    engine.open("ann")
    for number, image in enumerate(moving(7)):
        engine.submit("ann", number, image, CARRIED)
        packs[number] = engine._slots[-1].noise.clone()
        engine.tick()
        assert all(torch.equal(slot.noise, packs[slot.number]) for slot in engine._slots)
    while engine.in_flight:
        engine.tick()
        assert all(torch.equal(slot.noise, packs[slot.number]) for slot in engine._slots)

    assert max(networks.rows) == 4
    assert sorted(taken) == [(number, step) for number in range(7) for step in range(4)]
    assert not any(torch.equal(packs[n], packs[n + 1]) for n in range(6))
