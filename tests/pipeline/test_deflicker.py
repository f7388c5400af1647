"""The filter on clean latents (acceptance tests T3)."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from pipeline.deflicker import (
    MOST,
    RAMP,
    Deflicker,
    LatentMotion,
    along,
    fine,
    to_latents,
    trusted,
)
from pipeline.flow import FrameMotion, InputFlow, stilled
from tests.pipeline.test_flow import noisy, textured

SHAPE = (1, 16, 32, 32)


CPU = torch.device("cpu")


def moved(x: float, trust: float = 1.0, side: int = 32) -> LatentMotion:
    """Motion by so many latents to the right, back to where it was."""
    back = np.zeros((2, side, side), np.float32)
    back[0] = x
    return along(back, np.full((side, side), trust, np.float32), CPU)


def still(trust: float = 1.0) -> LatentMotion:
    return moved(0.0, trust)


def drawn(seed: int, scale: float = 1.0) -> Tensor:
    return scale * torch.randn(SHAPE, generator=torch.Generator().manual_seed(seed))


def settled(strength: float, start: Tensor) -> Deflicker:
    """A filter past its ramp."""
    steady = Deflicker()
    for _ in range(RAMP + 2):
        steady(start, still(), strength, "ink")
    return steady


def test_equal_frames_pass_bit_for_bit() -> None:
    steady, frame = Deflicker(), drawn(0)

    assert all(torch.equal(steady(frame, still(), 1.0, "ink"), frame) for _ in range(30))


@pytest.mark.parametrize("weight", [0.5, 0.6, 0.75])
@pytest.mark.parametrize("masked", [True, False])
def test_independent_flicker_falls_as_theory_says(
    weight: float, masked: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Difference energy times (1 - w)² / (1 + w); a little less where the outlier mask bites."""
    if not masked:
        monkeypatch.setattr(Deflicker, "_meant", lambda steady, change: torch.ones_like(change))
    scene = drawn(0, 3.0)
    steady = settled(weight / MOST, scene)
    frames = [scene + drawn(1 + n, 0.1) for n in range(200)]
    outputs = [steady(frame, still(), weight / MOST, "ink") for frame in frames]

    def energy(several: list[Tensor]) -> float:
        changes = pairwise(several[20:])
        return float(np.mean([(b - a).square().mean() for a, b in changes]))

    ratio = energy(outputs) / energy(frames)
    theory = (1 - weight) ** 2 / (1 + weight)
    assert ratio == pytest.approx(theory, abs=0.02 if masked else 0.01)


def test_what_came_into_view_takes_its_value_at_once() -> None:
    scene = drawn(0)
    steady = settled(0.75, scene)
    changed = scene.clone()
    changed[..., 8:16, 8:16] = drawn(5, 3.0)[..., 8:16, 8:16]
    trust = np.ones((32, 32), np.float32)
    trust[8:16, 8:16] = 0  # the flow does not agree there
    motion = along(np.zeros((2, 32, 32), np.float32), trust, CPU)

    shown = steady(changed, motion, 0.75, "ink")

    assert torch.equal(shown[..., 8:16, 8:16], changed[..., 8:16, 8:16])


@pytest.mark.parametrize("step", [16, 32, None])
def test_what_a_square_uncovers_has_next_to_nothing_of_the_past(step: int | None) -> None:
    """T3.3, by the motion that is found: the square moves on, or is gone."""

    def frame(column: int | None, seed: int) -> np.ndarray:
        scene = textured(seed=3)[:, :256].copy()
        if column is not None:
            scene[96:160, column : column + 64] = textured(seed=9)[:64, :64]
        return noisy(scene, 2, seed)

    flow = InputFlow()
    for seed in range(3):
        flow.follow(frame(96, seed), everywhere=False)
    last = flow.grey
    motion = flow.follow(frame(None if step is None else 96 + step, 3), everywhere=False)
    assert motion is not None
    assert last is not None
    assert flow.grey is not None
    assert not motion.is_cut
    still = stilled(motion, last, flow.grey, flow.noise)
    found = to_latents(still.backward, trusted(still), 32, 32, CPU)
    step_up = torch.full(SHAPE, 0.02)  # too small to be taken for meant
    shown = settled(1.0, torch.zeros(SHAPE))(step_up, found, 1.0, "ink")

    past = 1 - (shown / step_up)[0, 0]  # its share
    uncovered = past[12:20, 12 : 12 + (8 if step is None else step // 8)]
    assert float(uncovered.mean()) <= 0.05
    assert float(past[:8].mean()) > 0.5  # the rest is steadied as ever


def test_a_change_far_above_the_usual_is_meant_even_where_the_flow_agrees() -> None:
    scene = drawn(0)
    steady = settled(0.75, scene)
    for n in range(20):
        steady(scene + drawn(n, 0.05), still(), 0.75, "ink")
    changed = scene.clone()
    changed[..., 8:16, 8:16] += 3

    shown = steady(changed, still(), 0.75, "ink")

    assert float((shown - changed)[..., 8:16, 8:16].abs().max()) < 0.05


def test_a_cut_and_a_first_frame_pass_unchanged() -> None:
    steady = settled(0.75, drawn(0))
    other = drawn(7)

    assert torch.equal(steady(other, None, 0.75, "ink"), other)
    assert torch.equal(Deflicker()(other, None, 1.0, "ink"), other)


def test_a_new_look_is_not_held_back_by_the_old_one() -> None:
    steady, new = settled(0.75, drawn(0)), drawn(1)

    first = steady(new, still(), 0.75, "oil")

    assert torch.equal(first, new)
    weights = []
    for n in range(RAMP + 2):
        frame = new + drawn(10 + n, 0.01)
        past = steady._past
        assert past is not None
        shown = steady(frame, still(), 0.75, "oil")
        weights.append(float(((shown - frame) / (past - frame)).median()))
    assert weights == sorted(weights[:RAMP]) + weights[RAMP:]
    assert weights[-1] == pytest.approx(0.6, abs=0.05)


def test_whole_latents_of_motion_are_followed_without_blur() -> None:
    large = torch.randn(1, 16, 32, 140, generator=torch.Generator().manual_seed(0))
    large = functional.avg_pool2d(large, 3, 1, 1)
    steady, motion = Deflicker(), moved(1.0)
    for n in range(100):
        frame = large[..., n : n + 32]  # the picture moves left: it was one to the right
        shown = steady(frame, motion, 0.75, "ink")

    error = (shown - frame)[..., :-4].square().mean()
    assert float(10 * torch.log10(frame.square().amax() / error)) > 45


def test_masks_of_nothing_and_unknown_motion_do_no_harm() -> None:
    steady = settled(1.0, drawn(0))
    frame = drawn(3)

    for motion in (moved(np.nan), moved(np.inf), moved(-40.0), still(0.0)):
        assert torch.equal(steady(frame, motion, 1.0, "ink"), frame)


def test_off_is_off_and_forgets() -> None:
    steady, frame = settled(0.75, drawn(0)), drawn(1)

    assert torch.equal(steady(frame, still(), 0.0, "ink"), frame)
    again = drawn(2)
    assert torch.equal(steady(again, still(), 0.75, "ink"), again)


def test_motion_and_trust_are_averaged_over_each_latent() -> None:
    backward = np.zeros((64, 64, 2), np.float32)
    backward[..., 0] = 8.0
    valid = np.ones((64, 64), bool)
    valid[:8, :4] = False
    residual = np.zeros((64, 64), np.float32)
    residual[8:16] = 1000

    trust = trusted(FrameMotion(backward, backward, valid, residual, is_cut=False))
    motion = to_latents(backward, trust, 8, 8, CPU)

    own = to_latents(0 * backward, trust, 8, 8, CPU)
    assert float((motion.at - own.at)[..., 0].mean()) == pytest.approx(2 / 8)  # one latent of eight
    assert float((motion.at - own.at)[..., 1].abs().max()) == 0
    assert float(motion.moves.min()) == 1
    assert float(own.moves.max()) == 0
    assert float(motion.trust[0, 0]) == pytest.approx(0.5)
    assert float(motion.trust[0, 1]) == pytest.approx(1)
    assert float(motion.trust[1].max()) < 1e-6
    assert float(motion.trust[:, -1].max()) == 0  # it came from beyond the border


def spread(slope: float, seed: int, side: int = 64) -> Tensor:
    """Draw latents whose power falls with spatial frequency to -slope, and that repeat at edges."""
    noise = torch.randn(1, 16, side, side, generator=torch.Generator().manual_seed(seed))
    frequency = torch.fft.fftfreq(side)
    radius = (frequency[:, None].square() + frequency.square()).sqrt()
    radius[0, 0] = radius[0, 1]
    latents: Tensor = torch.fft.ifft2(torch.fft.fft2(noise) * radius ** (-slope / 2)).real
    latents /= latents.std()
    return latents


def carried(latents: Tensor, x: float) -> Tensor:
    """Move latents to the right by a part of one, exactly."""
    turn = torch.exp(-2j * torch.pi * torch.fft.fftfreq(latents.shape[-1]) * x)
    there: Tensor = torch.fft.ifft(torch.fft.fft(latents) * turn).real
    return there


def sharpness(latents: Tensor) -> float:
    """Give the variance of the Laplacian away from the edges, where nothing was to be fetched."""
    kernel = torch.tensor([[0.0, 1, 0], [1, -4, 1], [0, 1, 0]])[None, None].repeat(16, 1, 1, 1)
    return float(functional.conv2d(latents, kernel, groups=16)[..., 4:-4, 4:-4].var())


@pytest.mark.parametrize("slope", [0.0, 2.0, 4.0])
def test_half_a_latent_of_motion_a_frame_leaves_the_latents_sharp(slope: float) -> None:
    """T3.5, at the most that the filter blends: bicubic alone leaves .45, .59 and .81 of it."""
    scene, steady, motion = spread(slope, 0), Deflicker(), moved(-0.5, side=64)
    for n in range(100):
        frame = carried(scene, n / 2)
        shown = steady(frame, motion, 1.0, "ink")

    assert sharpness(shown) / sharpness(frame) >= 0.85


def test_whole_latents_keep_all_detail_and_half_ones_none() -> None:
    back = np.array([0.0, 2.0, -1.0, 0.5, 0.25], np.float32)
    kept = fine(np.stack([back, 0 * back])[:, None])[0]

    assert kept.tolist() == pytest.approx([1, 1, 1, 0, 0.5])
