"""The live flicker meter: nothing but what changes where the input does not."""

import time

import numpy as np
import pytest

from pipeline.flicker import FlickerMeter
from pipeline.results import Image
from tests.pipeline.conftest import picture

SIDE = 256


def noisy(image: Image, spread: float, seed: int) -> Image:
    noise = np.random.default_rng(seed).normal(0, spread, image.shape)
    return np.clip(image + noise, 0, 255).round().astype(np.uint8)


def figures(sources: list[Image], shown: list[Image]) -> list[float | None]:
    meter = FlickerMeter()
    return [meter.measure(*pair) for pair in zip(sources, shown, strict=True)]


def test_a_still_camera_and_a_still_result_have_none() -> None:
    sources, shown = [picture(0, SIDE)] * 4, [picture(1, SIDE)] * 4

    assert figures(sources, shown) == [None, 0.0, 0.0, 0.0]


def test_sensor_noise_is_no_motion_and_more_flicker_is_a_larger_figure() -> None:
    sources = [noisy(picture(0, SIDE), 2, n) for n in range(6)]
    means = []
    for spread in (0, 4, 12):
        found = figures(sources, [noisy(picture(1, SIDE), spread, 50 + n) for n in range(6)])
        means.append(np.mean([figure for figure in found[1:] if figure is not None]))

    assert means[0] == 0
    assert means[1] > 1
    assert means[2] > 2 * means[1]


def test_a_change_of_brightness_counts_in_grey_levels() -> None:
    grey = np.full((SIDE, SIDE, 3), 100, np.uint8)

    assert figures([grey, grey], [grey, grey + np.uint8(7)])[1] == pytest.approx(7)


def test_what_moves_does_not_count() -> None:
    sources, shown = [], []
    for n in range(5):
        source, result = picture(0, SIDE), picture(1, SIDE)
        rows, columns = slice(60, 140), slice(60 + 12 * n, 140 + 12 * n)
        source[rows, columns] = noisy(np.full((80, 80, 3), 128, np.uint8), 60, n)
        result[rows, columns] = noisy(np.full((80, 80, 3), 128, np.uint8), 60, 10 + n)
        sources.append(source)
        shown.append(result)
    moving = figures(sources, shown)
    unmasked = figures([sources[0]] * 5, shown)

    assert moving[1:] == [0.0] * 4
    assert all(figure is not None and figure > 1 for figure in unmasked[1:])


def test_there_is_no_figure_where_everything_moves_or_the_size_changes() -> None:
    moving = [noisy(picture(0, SIDE), 60, n) for n in range(2)]
    sizes = [picture(0, side) for side in (SIDE, 128)]

    assert figures(moving, moving) == [None, None]
    assert figures(sizes, sizes) == [None, None]


def test_it_costs_less_than_a_millisecond() -> None:
    meter, frames = FlickerMeter(), [noisy(picture(0, SIDE), 3, n) for n in range(2)]
    times = []
    for n in range(60):
        started = time.thread_time()  # of this thread alone: the machine may be busy
        meter.measure(frames[n % 2], frames[1 - n % 2])
        times.append(time.thread_time() - started)

    assert np.median(times) < 0.001
