"""What noise a session has under its values, live changes of them included."""

import math
from collections.abc import Sequence
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
from tests.pipeline.test_noise_warp import assert_white, likeness
from tests.pipeline.test_vram import held

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
        carried.follow(params, flow, zoom(1.7) if number else None)
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
    carried.follow(params, flow, zoom(1.0))
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
            engine._sessions["ann"].noise._drawn[CARRIED.seed] = anchor
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
        followed = engine._slots[-1].followed
        assert followed is not None
        carried = followed.result().noise
        assert carried is not None
        packs[number] = carried.clone()
        engine.tick()
        assert all(torch.equal(slot.noise, packs[slot.number]) for slot in engine._slots)
    while engine.in_flight:
        engine.tick()
        assert all(torch.equal(slot.noise, packs[slot.number]) for slot in engine._slots)

    assert max(networks.rows) == 4
    assert sorted(taken) == [(number, step) for number in range(7) for step in range(4)]
    assert not any(torch.equal(packs[n], packs[n + 1]) for n in range(6))


TURNED = StyleParams(noise="warped", steps=2, seed=5, blend_seed=9, seed_blend=0.3)
SHAPE = (64, SIDE // 4, SIDE // 4)
SWING = [zoom(scale) for scale in (1.03, 1.02, 0.98, 0.97)]
STILL = zoom(1.0)


def session(shape: tuple[int, int, int] = SHAPE) -> SessionNoise:
    return SessionNoise(shape, torch.device("cpu"), 4)


def walk(
    noise: SessionNoise, frames: Sequence[StyleParams], motions: Sequence[FrameMotion] = SWING
) -> list[Tensor]:
    """The noise of frames whose picture moves."""
    flow, packs = InputFlow(), []
    flow.grey = reduce(picture())
    for number, params in enumerate(frames):
        packs.append(
            noise.carried(params, flow, motions[number % len(motions)] if number else None)
        )
    return packs


@pytest.fixture
def open_gate(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session_noise, "Gate", OpenGate)
    monkeypatch.setattr(OpenGate, "asked", [], raising=False)


@pytest.mark.parametrize("blend", [0.0, 0.25, 0.5, 0.75, 1.0])
@pytest.mark.usefixtures("open_gate")
def test_carried_noise_turns_from_one_seeds_field_to_the_others_and_stays_white(
    blend: float,
) -> None:
    one, other, between = (
        walk(session(), [replace(TURNED, seed_blend=share)] * 9)[-1] for share in (0.0, 1.0, blend)
    )

    assert abs(likeness(one, other)) < 0.02
    assert likeness(between, one) == pytest.approx(math.cos(blend * math.pi / 2), abs=0.02)
    assert likeness(between, other) == pytest.approx(math.sin(blend * math.pi / 2), abs=0.02)
    assert_white(between.flatten(0, 1), variance=0.03, correlation=0.015)


@pytest.mark.usefixtures("open_gate")
def test_a_live_change_of_the_blend_turns_carried_noise_and_redraws_none() -> None:
    """To the other seed and back, over more frames than an anchor lives."""
    blends = [0.5 - 0.5 * math.cos(2 * math.pi * n / 48) for n in range(49)]
    assert blends[0] == blends[48] == 0
    assert blends[24] == 1
    count = len(blends)
    one, other = (
        walk(session(), [replace(TURNED, seed_blend=share)] * count) for share in (0.0, 1.0)
    )

    live = walk(session(), [replace(TURNED, seed_blend=blend) for blend in blends])

    for n in range(24):  # then the first seed is dropped, since nothing of it is left
        angle = blends[n] * math.pi / 2
        expected = math.cos(angle) * one[n] + math.sin(angle) * other[n]
        torch.testing.assert_close(live[n], expected, atol=1e-5, rtol=0)
    for n in range(24, count):
        share = math.sin(blends[n] * math.pi / 2)
        assert likeness(live[n], other[n]) == pytest.approx(share, abs=0.03)
        assert float(live[n].var()) == pytest.approx(1, abs=0.03)

    there_and_back = [replace(TURNED, seed_blend=blend) for blend in (0.0, 0.4, 0.0, 0.7, 0.0)]
    assert all(
        torch.equal(found, one[n])
        for n, found in enumerate(walk(session(), there_and_back))
        if not there_and_back[n].seed_blend
    )


@pytest.mark.usefixtures("open_gate")
def test_a_live_change_of_steps_keeps_the_carried_fields_in_use() -> None:
    plain = [replace(TURNED, steps=4)] * 40
    live = [replace(TURNED, steps=1 + (n // 3) % 4) for n in range(40)]

    kept, packs = (walk(session((16, 16, 16)), frames) for frames in (plain, live))

    assert [len(pack) for pack in packs] == [params.steps for params in live]
    assert all(torch.equal(pack[0], kept[n][0]) for n, pack in enumerate(packs))
    assert all(torch.equal(pack, kept[n][: len(pack)]) for n, pack in enumerate(packs[:12]))
    assert all(float(pack.var()) == pytest.approx(1, abs=0.1) for pack in packs)


def test_a_frozen_scene_has_the_same_blend_bit_for_bit() -> None:
    packs = walk(session((4, 16, 16)), [TURNED] * 40, [STILL])

    assert all(torch.equal(pack, packs[0]) for pack in packs)


def test_who_blends_no_seeds_keeps_no_second_field_and_blending_leaves_nothing() -> None:
    noise, flow = session((4, 16, 16)), InputFlow()
    flow.grey = reduce(picture())

    def kept(**changes: float) -> int:
        noise.carried(replace(TURNED, **changes), flow, STILL)
        return held(noise, set())

    alone = kept(seed_blend=0.0)
    for blend in (0.2, 0.0, 1.0, 0.9, 0.0) * 4:
        assert kept(seed_blend=blend) <= alone * (1 if blend in (0, 1) else 2)
    assert kept(seed_blend=0.0, steps=1) <= alone / 1.9


@pytest.mark.parametrize("kind", ["fixed", "warped"])
def test_a_seed_that_is_blended_with_itself_is_itself(kind: str) -> None:
    same = replace(TURNED, blend_seed=TURNED.seed, seed_blend=0.5)
    made = session().still if kind == "fixed" else lambda params: walk(session(), [params])[0]

    assert torch.equal(made(same), made(replace(same, seed_blend=0.0)))


def test_carried_noise_has_nothing_of_the_fixed_noise_with_which_it_may_be_mixed() -> None:
    params = replace(TURNED, seed_blend=0.0)
    carried = CarriedNoise(params, (4, 16, 16), torch.device("cpu"), 4)._warp._noise

    shared = torch.isin(session((4, 16, 16)).still(params), carried)

    assert float(shared.float().mean()) < 0.01
