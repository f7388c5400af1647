"""The share of fast changes, of films whose value is known."""

import numpy as np
import pytest

from pipeline.metrics import Consistency
from pipeline.results import Image
from pipeline.static_flicker import LEAST, WINDOW, StaticFlicker

FPS, SIDE = 25.0, 64


def film(*waves: tuple[int, float], frames: int = WINDOW) -> list[Image]:
    """Give grey pictures whose brightness swings: cycles in all frames, and grey levels."""
    times = np.arange(frames) / frames
    levels = 128 + sum(size * np.sin(2 * np.pi * cycles * times) for cycles, size in waves)
    return [np.full((SIDE, SIDE, 3), round(float(level)), np.uint8) for level in levels]


def share(shown: list[Image], sources: list[Image] | None = None) -> float | None:
    meter = StaticFlicker(FPS)
    for pair in zip(sources or [shown[0]] * len(shown), shown, strict=True):
        meter.add(*pair)
    found = meter.shares()
    return None if found is None else found[0]


def test_slow_drift_has_none_and_fast_swings_are_all_of_it() -> None:
    # 5 and 20 cycles in 64 frames at 25 a second: 2 and 7.8 Hz
    assert share(film((5, 40))) == pytest.approx(0, abs=0.001)
    assert share(film((20, 40))) == pytest.approx(1, abs=0.001)


def test_energies_of_both_add_up() -> None:
    """9 and 16 of 25 parts; a Nyquist wave of one level counts as often as any other."""
    assert share(film((5, 40), (20, 30))) == pytest.approx(9 / 25, abs=0.005)
    alternating = [np.full((SIDE, SIDE, 3), 100 + 20 * (n % 2), np.uint8) for n in range(WINDOW)]
    drifting = film((4, 40))  # a sine of 40 has eight times the variance of ± 10
    both = [a + (b - np.uint8(100)) for a, b in zip(drifting, alternating, strict=True)]
    assert share(both) == pytest.approx(1 / 9, abs=0.003)


def test_windows_add_up_by_their_energy_and_the_rest_of_a_film_counts() -> None:
    slow, fast = film((5, 40)), film((20, 40))

    assert share(slow + fast) == pytest.approx(0.5, abs=0.002)
    assert share(slow + fast[:LEAST]) == pytest.approx(LEAST / (WINDOW + LEAST), abs=0.01)
    assert share(slow + fast[: LEAST - 1]) == pytest.approx(0, abs=0.001)


def test_what_moves_in_the_input_does_not_count() -> None:
    sources, shown = [], []
    random = np.random.default_rng(0)
    for picture in film((5, 6)):
        source = np.full((SIDE, SIDE, 3), 90, np.uint8)
        source[:, :20] = random.integers(0, 255, (SIDE, 20, 3))
        boiling = picture.copy()
        boiling[:, :20] = source[:, :20]
        sources.append(source)
        shown.append(boiling)

    assert share(shown, sources) == pytest.approx(0, abs=0.01)
    assert (share(shown) or 0) > 0.4  # as if the input stood still everywhere


def test_a_film_that_never_changes_has_none_and_a_short_one_no_figure() -> None:
    assert share(film((5, 0))) == 0
    assert share(film((5, 40))[: LEAST - 1]) is None
    everywhere = [np.full((SIDE, SIDE, 3), 20 * (n % 2), np.uint8) for n in range(WINDOW)]
    assert share(film((5, 40)), everywhere) is None


def test_it_is_among_a_films_figures_where_the_rate_is_known() -> None:
    found = {fps: Consistency(fps=fps) for fps in (None, FPS, 4 * FPS)}
    shown = film((5, 40), frames=WINDOW)
    for consistency in found.values():
        for picture in shown:
            consistency.add(shown[0], picture)

    figures = {fps: consistency.figures() for fps, consistency in found.items()}
    assert "fast_flicker" not in figures[None]
    assert figures[FPS]["fast_flicker"] == pytest.approx(0, abs=0.001)
    assert figures[FPS]["fast_flicker_input"] == 0
    assert figures[4 * FPS]["fast_flicker"] == pytest.approx(1, abs=0.001)  # 8 Hz
