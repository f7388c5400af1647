from functools import partial

import cv2
import numpy as np
import pytest

from pipeline.backward_warp import agreement, resized
from pipeline.flow import SIDE, FrameMotion, InputFlow, reduce, sensor_noise, stilled
from pipeline.noise_gate import Gate


def textured(height: int = 256, width: int = 320, seed: int = 0) -> np.ndarray:
    noise = np.random.default_rng(seed).integers(0, 255, (height // 4, width // 4, 3), np.uint8)
    return cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC)


def noisy(grey: np.ndarray, deviation: float, seed: int) -> np.ndarray:
    drawn = np.random.default_rng(seed).normal(0, deviation, grey.shape)
    return np.clip(np.round(grey + drawn), 0, 255).astype(np.uint8)


def colour(grey: np.ndarray) -> np.ndarray:
    return np.repeat(grey[..., None], 3, -1)


def wall_with_disc(at: float, seed: int) -> np.ndarray:
    """A bare wall, and a textured disc at a column; sensor noise of 2 grey levels."""
    y, x = np.mgrid[:256, :256].astype(np.float32)
    disc = (x - at) ** 2 + (y - 128) ** 2 < 50**2
    texture = 110 + 60 * np.sin((x - at) / 3.1) * np.cos(y / 4.3)
    return colour(noisy(np.where(disc, texture, 128.0), 2, seed))


def test_motion_is_measured_both_ways_and_a_first_frame_has_none() -> None:
    large, flow = textured(), InputFlow()

    assert flow.follow(large[:, 8:264]) is None
    motion = flow.follow(large[:, 5:261])  # the content moves three pixels to the right

    assert motion is not None
    assert not motion.is_cut
    inner = (slice(10, -10), slice(10, -10))
    assert np.median(motion.forward[inner][..., 0]) == pytest.approx(1.5, abs=0.1)  # of SIDE
    assert np.median(motion.backward[inner][..., 0]) == pytest.approx(-1.5, abs=0.1)
    assert motion.valid[inner].mean() > 0.95


def test_motion_is_searched_for_where_the_picture_changes_and_the_rest_stands() -> None:
    flow = InputFlow()
    for seed in range(4):  # learns the sensor's noise
        flow.follow(wall_with_disc(120, seed))

    motion = flow.follow(wall_with_disc(124, 5), everywhere=False)

    assert motion is not None
    y, x = 2 * np.mgrid[:SIDE, :SIDE]
    away = np.hypot(x - 122, y - 128)
    assert not motion.backward[away > 128].any()  # the corners
    assert motion.valid[away > 128].all()
    error = np.linalg.norm(motion.backward - (-2.0, 0.0), axis=-1)
    assert error[away < 35].mean() < 0.15
    assert flow.follow(wall_with_disc(124, 6), everywhere=False) is not None
    again = flow.follow(wall_with_disc(124, 7), everywhere=False)
    assert again is not None
    assert not again.backward.any()  # noise alone is searched nowhere


def test_another_scene_is_a_cut() -> None:
    flow = InputFlow()
    flow.follow(textured(seed=1)[:, :256])
    motion = flow.follow(textured(seed=2)[:, :256])

    assert motion is not None
    assert motion.is_cut


def test_a_cut_and_a_frame_that_came_twice_teach_nothing_of_the_sensors_noise() -> None:
    flow, still = InputFlow(), textured()[:, :256]
    for seed in range(4):
        flow.follow(noisy(still, 2, seed))
    learnt = flow.noise
    for image in (np.zeros_like(still), textured(seed=1)[:, :256]):
        cut, again = flow.follow(image), flow.follow(image)
        assert cut is not None
        assert cut.is_cut
        assert again is not None
        assert not again.is_cut

    assert flow.noise == learnt


@pytest.mark.parametrize("gain", [0.9, 1.1])
def test_a_camera_that_changes_its_exposure_is_no_cut_and_its_motion_is_found(gain: float) -> None:
    large, flow = textured() * 0.8 + 10, InputFlow()
    first, second = large[:, 8:264], gain * large[:, 5:261]  # three pixels to the right
    flow.follow(first.astype(np.uint8))

    motion = flow.follow(second.astype(np.uint8))

    assert motion is not None
    assert not motion.is_cut
    inner = (slice(10, -10), slice(10, -10))
    for found, true in ((motion.forward, 1.5), (motion.backward, -1.5)):
        error = np.linalg.norm(found[inner] - np.float32([true, 0]), axis=-1)
        assert error.mean() < 0.15
    assert motion.valid[inner].mean() > 0.9


def test_another_size_begins_anew() -> None:
    flow = InputFlow()
    flow.follow(textured()[:, :256])

    assert flow.follow(textured()[:128, :256]) is None


def test_sensor_noise_is_estimated() -> None:
    still = textured()[..., 0]

    estimate = sensor_noise(noisy(still, 3, 1), noisy(still, 3, 2))

    assert estimate == pytest.approx(3, rel=0.2)


def test_the_gate_stills_bare_walls_and_lets_what_moves_pass() -> None:
    flow = InputFlow()
    first, second = wall_with_disc(120, 1), wall_with_disc(124, 2)
    flow.follow(first)
    for seed in (3, 4, 5):  # learns the sensor's noise
        flow.follow(wall_with_disc(120, seed))
    motion = flow.follow(second)
    assert motion is not None
    assert not motion.is_cut  # though of the wall nothing agrees
    assert motion.valid.mean() < 0.4
    planes = [reduce(x, SIDE).astype(np.float32) for x in (first, second)]

    _, gated = Gate(planes[0], planes[1], flow.noise)(motion.forward, motion.backward)

    y, x = 2 * np.mgrid[:SIDE, :SIDE]
    wall = (x - 122) ** 2 + (y - 128) ** 2 > 75**2
    disc = (x - 124) ** 2 + (y - 128) ** 2 < 35**2
    length = partial(np.linalg.norm, axis=-1)
    assert length(motion.backward)[wall].mean() > 0.5  # what dense search finds in noise
    assert length(gated)[wall].mean() < 0.15
    assert length(gated - (-2.0, 0.0))[disc].mean() < 0.15


def test_motion_that_is_no_number_stands_still_even_where_it_seems_to_pay() -> None:
    last, grey = (noisy(textured()[..., 0], 2, seed) for seed in (1, 2))
    back = np.full((*grey.shape, 2), 1.0, np.float32)
    back[:, :100, 0], back[:, 100:200, 1] = np.inf, np.nan
    nothing, valid = np.zeros(grey.shape, np.float32), np.zeros(grey.shape, bool)

    found = stilled(FrameMotion(back, back, valid, nothing, is_cut=False), last, grey, 2.0)

    assert not found.backward[:, :200].any()
    assert found.backward[:, 210:].any()
    assert np.isfinite(found.residual).all()


def test_the_gate_leaves_what_is_not_known() -> None:
    plane = np.zeros((32, 32), np.float32)
    unknown = np.full((32, 32, 2), np.nan, np.float32)

    ahead, back = Gate(plane, plane, 1.0)(unknown, unknown)

    assert np.isnan(ahead).all()
    assert np.isnan(back).all()


def test_a_flow_is_scaled_with_its_grid() -> None:
    flow = np.full((64, 128, 2), (2.0, 4.0), np.float32)

    working = resized(flow, 128, 128)

    assert working.shape == (128, 128, 2)
    assert working[..., 0].mean() == pytest.approx(2)
    assert working[..., 1].mean() == pytest.approx(8)


@pytest.mark.parametrize("height", [256, 144, 64, 32, 16, 8])
def test_pictures_of_any_shape_are_followed(height: int) -> None:
    """Dense search at a quarter of strips of 16 pixels ended the process (OpenCV 5.0)."""
    large, flow = textured(height, 264), InputFlow()
    for at in (4, 2):
        motion = flow.follow(np.ascontiguousarray(large[:, at : at + 256]))

    assert motion is not None
    side = SIDE if height >= 32 else 256  # strips stay as high as can be searched
    shape = (height * side // 256, side)
    assert motion.forward.shape == motion.backward.shape == (*shape, 2)
    assert motion.valid.shape == motion.residual.shape == shape
    assert float(np.median(motion.forward[..., 0])) == pytest.approx(side / 128, abs=0.3)


def test_both_ways_agree_on_a_coarse_grid_where_they_do_on_a_fine_one() -> None:
    """In pixels of the picture: what may be apart, and its border."""
    there = np.full((16, 16, 2), (1.0, 0.0), np.float32)  # four pixels
    for apart, agrees in ((0.15, True), (0.25, False)):  # 0.6 and 1 pixel of about 0.8
        back = -there + np.float32([apart, 0])
        assert (agreement(there, back, 4)[:, 2:] == agrees).all()
    border = np.full(
        (16, 16, 2), (-0.3, 0.0), np.float32
    )  # 1.2 pixels, and a cell's middle is 1.5 in
    assert agreement(-border, border, 4).all()
    assert not agreement(-border, border)[:, 0].any()


def test_large_pictures_are_reduced_and_small_ones_are_not() -> None:
    assert reduce(np.zeros((720, 1280, 3), np.uint8)).shape == (144, 256)
    assert reduce(np.zeros((720, 1280, 3), np.uint8), 128).shape == (72, 128)
    assert reduce(np.zeros((120, 160, 3), np.uint8)).shape == (120, 160)


def test_there_and_back_again_agrees_and_nonsense_does_not() -> None:
    there = np.full((32, 32, 2), (3.0, 0.0), np.float32)

    agrees = agreement(there, -there)
    assert agrees[:, 3:].all()
    assert not agrees[:, :3].any()  # it came from outside
    assert not agreement(there, there)[:, 4:-4].any()
