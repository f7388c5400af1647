"""The noise level that follows the motion of the input."""

import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.motion_level import LEAST, RANGE, MotionLevel


def picture(seed: int) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (64, 64, 3)).astype(np.uint8)


def test_more_motion_means_less_noise_within_the_range() -> None:
    level, still = MotionLevel(), picture(0)

    assert level.strength(still, 0.8, 1.0) == 0.8
    assert level.strength(still, 0.8, 1.0) == 0.8
    moving = [level.strength(picture(n), 0.8, 1.0) for n in range(1, 5)]

    assert moving == sorted(moving, reverse=True)
    assert moving[-1] == pytest.approx(0.8 * (1 - RANGE), abs=1e-3)


def test_the_level_comes_back_when_the_motion_ends_and_not_before_the_window_does() -> None:
    level, still = MotionLevel(), picture(0)
    level.strength(still, 0.8, 1.0)
    low = level.strength(picture(1), 0.8, 1.0)
    levels = [level.strength(still, 0.8, 1.0)] + [
        level.strength(still, 0.8, 1.0) for _ in range(12)
    ]

    assert max(levels[:6]) <= low
    assert levels[-1] == pytest.approx(0.8, abs=1e-3)


def test_the_share_scales_it_and_zero_measures_nothing() -> None:
    half, none = MotionLevel(), MotionLevel()
    for n in range(5):
        found = half.strength(picture(n), 0.8, 0.5)
        assert none.strength(picture(n), 0.8, 0.0) == 0.8

    assert found == pytest.approx(0.8 * (1 - RANGE / 2), abs=1e-3)


def test_one_step_always_stays_and_strength_zero_stays_zero() -> None:
    level = MotionLevel()
    for n in range(4):
        low = level.strength(picture(n), LEAST, 1.0)

    assert low == LEAST
    assert level.strength(picture(9), 0.0, 1.0) == 0.0
