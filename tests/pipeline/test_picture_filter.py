"""The filter on finished pictures: what T3 asks of a filter, in pixels."""

from itertools import pairwise

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.deflicker import MOST
from pipeline.flow import InputFlow, stilled
from pipeline.metrics import sharpness
from pipeline.picture_filter import PictureFilter, PictureMotion, to_pixels

SIDE = 64
Picture = NDArray[np.uint8]


def motion(x: float = 0.0, trust: float = 1.0) -> PictureMotion:
    back = np.zeros((SIDE, SIDE, 2), np.float32)
    back[..., 0] = x
    return to_pixels(back, np.full((SIDE, SIDE), trust, np.float32), SIDE, SIDE)


def texture(width: int = SIDE, seed: int = 0) -> Picture:
    noise = np.random.default_rng(seed).normal(0, 1, (SIDE, width, 3)).astype(np.float32)
    soft = cv2.GaussianBlur(noise, (0, 0), 2.0)
    return np.clip(128 + 300 * soft, 0, 255).astype(np.uint8)


def test_equal_pictures_pass_bit_for_bit() -> None:
    steady, picture = PictureFilter(), texture()

    assert all(np.array_equal(steady(picture, motion(), 1.0, "ink"), picture) for _ in range(5))


@pytest.mark.parametrize("weight", [0.5, 0.75])
def test_independent_flicker_falls_as_theory_says(weight: float) -> None:
    """Difference energy times (1 - w)² / (1 + w); rounding to grey levels adds a little."""
    steady, scene, random = PictureFilter(), texture(), np.random.default_rng(1)
    frames = [
        np.clip(scene + random.normal(0, 4, scene.shape), 0, 255).astype(np.uint8)
        for _ in range(60)
    ]
    shown = [steady(frame, motion(), weight / MOST, "ink") for frame in frames]

    def energy(pictures: list[Picture]) -> float:
        changes = pairwise(np.float32(picture) for picture in pictures[20:])
        return float(np.mean([np.square(b - a).mean() for a, b in changes]))

    ratio = energy(shown) / energy(frames)
    assert ratio == pytest.approx((1 - weight) ** 2 / (1 + weight), abs=0.04)


def test_motion_between_pixels_leaves_the_picture_sharp() -> None:
    """Half a pixel a frame for 60 frames: plain blending would leave under .6 of the detail."""
    wide, steady = texture(2 * SIDE), PictureFilter()
    frames = []
    for n in range(60):
        at = np.float32([[1, 0, -n / 2], [0, 1, 0]])
        frames.append(cv2.warpAffine(wide, at, (SIDE, SIDE), flags=cv2.INTER_CUBIC))
    shown = [steady(np.asarray(f, np.uint8), motion(0.5), 1.0, "ink") for f in frames]

    inner = (slice(4, -4), slice(4, -8))
    ratio = sharpness(np.ascontiguousarray(shown[-1][inner])) / sharpness(
        np.ascontiguousarray(frames[-1][inner])
    )
    assert ratio >= 0.85


def test_what_came_into_view_takes_its_value_at_once() -> None:
    steady, old, new = PictureFilter(), texture(seed=1), texture(seed=2)
    for _ in range(3):
        steady(old, motion(), 1.0, "ink")

    assert np.array_equal(steady(new, motion(trust=0.0), 1.0, "ink"), new)


def test_a_large_change_is_meant_even_where_the_motion_agrees() -> None:
    steady, dark = PictureFilter(), np.full((SIDE, SIDE, 3), 20, np.uint8)
    for _ in range(3):
        steady(dark, motion(), 1.0, "ink")
    bright = np.full((SIDE, SIDE, 3), 220, np.uint8)

    assert int(steady(bright, motion(), 1.0, "ink").min()) >= 218


def test_a_cut_a_new_size_a_new_look_and_off_pass_unchanged() -> None:
    steady, old, new = PictureFilter(), texture(seed=1), texture(seed=2)

    for moved, strength, look in ((None, 1.0, "ink"), (motion(), 0.0, "ink"), (motion(), 1.0, "o")):
        steady(old, motion(), 1.0, "ink")
        assert np.array_equal(steady(new, moved, strength, look), new)
    small = np.ascontiguousarray(new[:32])
    assert np.array_equal(steady(small, motion(), 1.0, "o"), small)


def test_a_small_change_is_reached_and_not_stuck_in_rounding() -> None:
    steady, before = PictureFilter(), np.full((SIDE, SIDE, 3), 100, np.uint8)
    steady(before, motion(), 1.0, "ink")
    after = np.full((SIDE, SIDE, 3), 102, np.uint8)

    for _ in range(30):
        shown = steady(after, motion(), 1.0, "ink")

    assert np.array_equal(shown, after)


def test_what_stands_is_not_fetched_and_comes_out_as_if_it_were(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    back, trust = np.zeros((SIDE, SIDE, 2), np.float32), np.ones((SIDE, SIDE), np.float32)
    back[20:40, 50:] = 0.4, -0.3
    boxed, shown = to_pixels(back, trust, SIDE, SIDE), []
    assert boxed.x.shape == (24, 16)  # two pixels more, of which its coarse part is made

    monkeypatch.setattr("pipeline.picture_filter._bounds", lambda moves: (slice(None), slice(None)))
    for found in (boxed, to_pixels(back, trust, SIDE, SIDE)):
        steady = PictureFilter()
        steady(texture(seed=1), found, 1.0, "ink")
        shown.append(steady(texture(seed=2), found, 1.0, "ink"))
    assert np.array_equal(*shown)
    assert not np.array_equal(shown[0], texture(seed=2))


def test_motion_that_is_no_number_is_not_followed() -> None:
    back = np.full((SIDE, SIDE, 2), np.nan, np.float32)
    back[:, :9] = np.inf
    lost = to_pixels(back, np.zeros((SIDE, SIDE), np.float32), SIDE, SIDE)
    steady, picture = PictureFilter(), texture(seed=3)
    steady(texture(), motion(), 1.0, "ink")

    assert np.array_equal(steady(picture, lost, 1.0, "ink"), picture)


def test_a_flow_of_another_size_is_scaled_with_its_values() -> None:
    back = np.ones((32, 32, 2), np.float32)
    found = to_pixels(back, np.ones((32, 32), np.float32), SIDE, SIDE)

    assert found.x[0, 0] == found.y[0, 0] == 2
    assert found.fine.all()  # two whole pixels


def test_a_noisy_wall_stands_still_and_a_moving_thing_moves() -> None:
    random = np.random.default_rng(0)

    def frame(at: int) -> Picture:
        picture = 120 + random.normal(0, 2, (256, 256, 3))
        picture[100:140, at : at + 40] = texture(SIDE, 7)[:40, :40]
        return np.clip(picture, 0, 255).astype(np.uint8)

    flow = InputFlow()
    flow.follow(frame(100))
    last = flow.grey
    moved = flow.follow(frame(104))
    assert moved is not None
    assert last is not None
    assert flow.grey is not None

    found = stilled(moved, last, flow.grey, flow.noise)

    # in pixels of the flow, which are two of the picture
    wall, raw = (np.linalg.norm(each.backward[80:], axis=-1).mean() for each in (found, moved))
    assert float(wall) < 0.15 < float(raw)
    assert float(np.median(found.backward[55:65, 57:67, 0])) == pytest.approx(-2, abs=0.15)
