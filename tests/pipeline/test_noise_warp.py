"""The noise is white for any motion, and moves as the picture does (acceptance tests T2)."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from pipeline.noise_graph import connect, sample
from pipeline.noise_warp import ANCHOR_FRAMES, CHILDREN, NoiseWarp

CPU = torch.device("cpu")
Flow = NDArray[np.float32]  # [h, w, 2]
Motion = Callable[[int], tuple[Flow, Flow]]


def open_gate(ahead: Flow, back: Flow) -> tuple[Flow, Flow]:
    return ahead, back


def make(channels: int = 64, side: int = 64, factor: int = 1, seed: int = 0) -> NoiseWarp:
    return NoiseWarp([(seed,)], channels, side, side, factor, CPU)


def latents(noise: NoiseWarp) -> Tensor:
    """The noise of the only seed."""
    (field,) = noise.latents()
    return field


def grid(side: int) -> tuple[Flow, Flow]:
    y, x = np.mgrid[:side, :side].astype(np.float32)
    return x, y


def shift(side: int, dx: float, dy: float) -> tuple[Flow, Flow]:
    there = np.full((side, side, 2), (dx, dy), np.float32)
    return there, -there


def turn(side: int, angle: float, scale: float = 1.0) -> tuple[Flow, Flow]:
    """Rotate by an angle and scale about the centre."""
    x, y = grid(side)
    c = (side - 1) / 2

    def flow(a: float, s: float) -> Flow:
        cos, sin = s * math.cos(a), s * math.sin(a)
        new_x, new_y = cos * (x - c) - sin * (y - c), sin * (x - c) + cos * (y - c)
        return np.stack([new_x + c - x, new_y + c - y], -1)

    return flow(angle, scale), flow(-angle, 1 / scale)


def wrong_back(side: int, error: float) -> tuple[Flow, Flow]:
    """No motion, and a way back that says otherwise."""
    return shift(side, 0, 0)[0], shift(side, -error, 0)[1]


def wave(side: int, number: int) -> tuple[Flow, Flow]:
    x, y = grid(side)
    phase = number * 0.3
    there = np.stack([2 * np.sin(y / 7 + phase), 1.5 * np.cos(x / 9 - phase)], -1)
    return there, -there


def garbage(side: int, number: int) -> tuple[Flow, Flow]:
    there, back = np.random.default_rng(number).uniform(-8, 8, (2, side, side, 2))
    return there.astype(np.float32), back.astype(np.float32)


def assert_white(field: Tensor, variance: float = 0.02, correlation: float = 0.01) -> None:
    """Check [c, h, w] against white noise of variance 1; sizes of 10.0."""
    assert float(field.var()) == pytest.approx(1, abs=variance)
    centred = field - field.mean()
    for dy, dx in ((0, 1), (1, 0), (1, 1), (0, 2), (2, 0)):
        rows, columns = field.shape[1] - dy, field.shape[2] - dx
        product = centred[:, dy:, dx:] * centred[:, :rows, :columns]
        assert abs(float(product.mean())) < correlation, (dy, dx)
    assert abs(float((centred**4).mean() / centred.var() ** 2) - 3) < 0.05


def likeness(one: Tensor, other: Tensor) -> float:
    return float((one * other).sum() / (one.norm() * other.norm()))


MOTIONS: dict[str, Motion] = {
    "zoom in": lambda n: turn(64, 0.0, 1.02),
    "zoom out": lambda n: turn(64, 0.0, 1 / 1.02),
    "rotation": lambda n: turn(64, 0.02),
    "wave": lambda n: wave(64, n),
    "garbage": lambda n: garbage(64, n),
}


@pytest.mark.parametrize("frames", [100, pytest.param(500, marks=pytest.mark.long)])
@pytest.mark.parametrize("motion", MOTIONS)
def test_noise_stays_white_under_any_motion(motion: str, frames: int) -> None:
    noise = make()
    for number in range(frames):
        noise.advance(*MOTIONS[motion](number), open_gate)

    assert_white(latents(noise))


def test_a_bilinear_warp_fails_the_same_test() -> None:
    """The test can fail: what everybody does first is not white."""
    x, y = (torch.from_numpy(each) for each in grid(64))
    there = torch.stack([(x + 0.3) / 63 * 2 - 1, y / 63 * 2 - 1], -1)[None]
    field = torch.randn(1, 64, 64, 64, generator=torch.Generator().manual_seed(0))
    for _ in range(10):
        field = functional.grid_sample(field, there, padding_mode="reflection", align_corners=True)

    with pytest.raises(AssertionError):
        assert_white(field[0])


def test_zero_motion_changes_nothing_bit_for_bit() -> None:
    """T2.1: over 500 frames, and so over sixteen anchors."""
    noise = make(4, 16)
    before, anchors = latents(noise).clone(), 0
    for _ in range(500):
        noise.advance(*shift(16, 0, 0), open_gate)
        anchors += noise.age == 0

    assert anchors == 500 // ANCHOR_FRAMES
    assert torch.equal(latents(noise), before)


@pytest.mark.parametrize(
    ("motion", "most"),
    [
        (shift(32, 3, 0), 3),  # after three frames 28 % of the columns are new
        (wrong_back(32, 0.5), 3),  # both ways are 1.5 pixels apart after three frames
        (shift(32, 0.01, 0), ANCHOR_FRAMES),
    ],
    ids=["little is left", "both ways disagree", "old"],
)
def test_an_anchor_is_moved_once_it_is_worn_and_the_noise_goes_on(
    motion: tuple[Flow, Flow], most: int
) -> None:
    noise = make(4, 32)
    for frame in range(1, most):
        noise.advance(*motion, open_gate)
        assert noise.age == frame
    noise.advance(*motion, open_gate)

    assert noise.age == 0
    before = latents(noise).clone()
    noise.advance(*shift(32, 0, 0), open_gate)
    assert torch.equal(latents(noise), before)


def test_a_whole_shift_is_exact_up_to_the_border_where_things_enter() -> None:
    noise = make()
    before = latents(noise).clone()
    for _ in range(7):
        noise.advance(*shift(64, 1, 2), open_gate)

    moved = latents(noise)
    assert torch.equal(moved[:, 14:, 7:], before[:, :-14, :-7])
    assert_white(moved)


def test_what_spread_out_and_came_together_again_is_what_it_was() -> None:
    """Twice as large about the centre, that is the anchor now, and back: two by two children sum
    to their parent.
    """
    noise, side = make(8), 64
    before = latents(noise).clone()
    x, y = grid(side)
    larger = np.stack([2 * (x - 16) - x, 2 * (y - 16) - y], -1)
    smaller = np.stack([x // 2 + 16 - x, y // 2 + 16 - y], -1)
    noise.advance(larger, smaller, open_gate)
    assert connect(larger, smaller).most_children == 4
    assert not torch.equal(latents(noise), before)

    noise._set_anchor(noise._noise)
    noise.advance(smaller, larger, open_gate)

    centre = (slice(None), slice(16, 48), slice(16, 48))
    torch.testing.assert_close(latents(noise)[centre], before[centre], atol=1e-5, rtol=0)


def test_slow_motion_is_followed_below_the_size_of_a_pixel() -> None:
    """.05 latent pixels a frame; rounding each step would leave the noise where it was."""
    noise = make(8, 32, factor=8)
    before = latents(noise).clone()
    for _ in range(20):
        noise.advance(*shift(256, 0.4, 0), open_gate)

    assert likeness(latents(noise)[:, :, 1:], before[:, :, :-1]) >= 0.9
    # where rounding would have left it
    assert abs(likeness(before[:, :, 1:], before[:, :, :-1])) < 0.05


@pytest.mark.parametrize("factor", [4, pytest.param(8, marks=pytest.mark.long)])
def test_a_quarter_turn_in_ninety_steps_is_followed(factor: int) -> None:
    noise = make(8, 32, factor=factor)
    before = latents(noise).clone()
    for _ in range(90):
        noise.advance(*turn(32 * factor, math.radians(1)), open_gate)

    x, y = grid(32)
    disc = torch.from_numpy((x - 15.5) ** 2 + (y - 15.5) ** 2 < 14**2)
    turned = torch.rot90(before, -1, (1, 2))  # y points down: a positive angle turns clockwise
    assert likeness(latents(noise)[:, disc], turned[:, disc]) >= 0.7


def test_a_scene_that_froze_after_motion_has_still_noise() -> None:
    noise = make(8, 32, factor=4)
    for _ in range(7):
        noise.advance(*turn(128, 0.01, 1.01), open_gate)
    before = latents(noise).clone()
    for _ in range(5):
        noise.advance(*shift(128, 0, 0), open_gate)

    assert likeness(latents(noise), before) == pytest.approx(1, abs=1e-6)


def test_what_is_unknown_does_not_spread_while_nothing_moves() -> None:
    noise = make(8, 32)
    noise.advance(*shift(32, -3, -2), open_gate)
    before, unknown = latents(noise).clone(), np.isnan(noise._back)
    for _ in range(10):
        noise.advance(*shift(32, 0, 0), open_gate)

    assert unknown.any()
    assert np.array_equal(np.isnan(noise._back), unknown)
    assert torch.equal(latents(noise), before)


def test_what_leaves_the_picture_is_unknown_to_the_gate_at_once() -> None:
    """It is compared with nothing: taken for standing still it would mix with what comes there."""
    noise = make(8, 32)
    seen: list[list[NDArray[np.bool_]]] = []

    def gate(ahead: Flow, back: Flow) -> tuple[Flow, Flow]:
        seen.append([np.asarray(np.isnan(flow).all(-1)) for flow in (ahead, back)])
        return ahead, back

    noise.advance(*shift(32, 3, 0), gate)

    ((gone, came),) = seen
    assert np.flatnonzero(gone.any(0)).tolist() == [29, 30, 31]
    assert np.flatnonzero(came.any(0)).tolist() == [0, 1, 2]
    assert gone.sum() == came.sum() == 3 * 32


def test_what_is_summed_to_the_latent_grid_is_white() -> None:
    noise = make(64, 64, factor=4)
    for number in range(20):
        noise.advance(*wave(256, number), open_gate)

    assert_white(latents(noise))


def test_channels_share_the_motion_and_nothing_else() -> None:
    """Eight of them: four of each of two steps, so those are as independent."""
    noise = make(8, 64, factor=8)
    for _ in range(5):
        noise.advance(*turn(512, 0.02, 1.01), open_gate)

    field = noise._noise - noise._noise.mean(0)
    together = (field.T @ field) / len(field)
    assert float((together - torch.diag(together.diagonal())).abs().max()) < 0.01


def test_magnification_beyond_the_stored_children_stays_white() -> None:
    """Two siblings with one child between them would be alike."""
    noise = make(256)
    for _ in range(28):
        noise.advance(*turn(64, 0.0, 1.04), open_gate)  # three times in all
    assert_white(latents(noise))

    noise.advance(*turn(64, 0.0, 3.5), open_gate)  # and in one frame
    assert connect(*turn(64, 0.0, 3.5)).most_children > CHILDREN
    assert_white(latents(noise))


@pytest.mark.parametrize("wrong", [math.nan, math.inf, -math.inf, 1e30])
def test_unknown_motion_gives_fresh_noise_there_and_no_harm(wrong: float) -> None:
    noise = make(64)
    before = latents(noise).clone()
    ahead, back = shift(64, 0, 0)
    ahead[20:40, 20:40] = wrong
    back[20:40, 20:40] = wrong

    noise.advance(ahead, back, open_gate)

    after = latents(noise)
    assert torch.isfinite(after).all()
    assert torch.equal(after[:, :20], before[:, :20])
    assert abs(likeness(after[:, 20:40, 20:40], before[:, 20:40, 20:40])) < 0.05
    noise.advance(*shift(64, math.nan, math.nan), open_gate)
    assert_white(latents(noise))


def test_a_cut_draws_new_noise() -> None:
    noise = make()
    before = latents(noise).clone()
    noise.cut()

    assert abs(likeness(latents(noise), before)) < 0.05
    assert_white(latents(noise))


def test_the_seed_and_the_motion_decide_everything() -> None:
    fields = []
    for seed in (1, 1, 2):
        noise = make(8, 32, seed=seed)
        for number in range(40):
            noise.advance(*wave(32, number), open_gate)
        fields.append(latents(noise))

    assert torch.equal(fields[0], fields[1])
    assert not torch.equal(fields[0], fields[2])


def test_a_field_is_sampled_between_pixels_and_not_outside() -> None:
    x, y = grid(8)
    field = np.stack([x, 10 * y], -1)

    found = sample(field, np.full((8, 8, 2), 0.25, np.float32))

    assert found[3, 4] == pytest.approx([4.25, 32.5])
    assert np.isnan(sample(field, np.full((8, 8, 2), 3.0, np.float32))[0, 7]).all()
    assert np.array_equal(sample(field, np.zeros((8, 8, 2), np.float32)), field)
