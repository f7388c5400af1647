"""A film's frames, smoothed with each other inside the iteration."""

import numpy as np
import pytest

from pipeline import patch_blending
from pipeline.params import StyleParams
from pipeline.patch_blending import Blending, Mode
from pipeline.patch_match import Search
from pipeline.results import Image
from pipeline.smoothing import Film
from tests.pipeline.conftest import Bench, picture

QUICK = Search(least_patch=3, rounds=1, random_steps=0)
INK = StyleParams(prompt="ink", strength=0.8, steps=1, guidance_scale=1.0)


def plain(bench: Bench, images: list[Image], params: StyleParams) -> list[Image]:
    engine, _ = bench.engine()
    engine.open("ann")
    shown = []
    for number, image in enumerate(images):
        engine.submit("ann", number, image, params)
        while engine.in_flight:
            shown += [result.image for result in engine.tick()]
    return shown


@pytest.mark.parametrize("mode", ["balanced", "accurate", "interpolation", "causal"])
def test_equal_frames_come_out_as_the_engine_alone_makes_them(bench: Bench, mode: Mode) -> None:
    engine, _ = bench.engine()
    images = [picture(1)] * 4

    shown = list(Film(engine, INK, Blending(mode, 1, search=QUICK)).frames(images))

    for one, other in zip(shown, plain(bench, images, INK), strict=True):
        assert int(np.abs(one.astype(np.int16) - other).max()) <= 1


def test_every_frame_comes_out_once_and_few_are_held(bench: Bench) -> None:
    engine, _ = bench.engine()
    params = StyleParams(prompt="ink", strength=0.8, steps=2, guidance_scale=1.0)
    film = Film(engine, params, Blending("balanced", 1, search=QUICK))

    shown = list(film.frames(picture(seed) for seed in range(9)))

    assert len(shown) == 9
    assert film.held <= 2 * 3
    assert engine.in_flight == 0
    assert not engine._sessions


def test_the_blend_of_a_step_goes_into_the_next_one(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two steps of frames that differ by their noise alone: these errors count as detail, too."""
    monkeypatch.setattr(patch_blending, "keep_detail", lambda blended, own: blended)
    engine, _ = bench.engine()
    params = StyleParams(prompt="ink", strength=0.8, steps=2, guidance_scale=1.0, noise="fresh")
    images = [picture(1)] * 5

    smooth = list(Film(engine, params, Blending("balanced", 2, search=QUICK)).frames(images))

    def apart(shown: list[Image]) -> float:
        return float(np.stack(shown).astype(float).std(0).mean())

    assert apart(smooth) < 0.7 * apart(plain(bench, images, params))


def test_what_comes_out_does_not_depend_on_what_comes_much_later(bench: Bench) -> None:
    engine, _ = bench.engine()
    images = [picture(seed) for seed in range(6)]
    blending = Blending("interpolation", spacing=2, search=QUICK)

    whole = list(Film(engine, INK, blending).frames(images))
    begun = list(Film(engine, INK, blending).frames(images[:4]))

    assert all(np.array_equal(one, other) for one, other in zip(begun[:3], whole[:3], strict=True))


def test_strength_zero_gives_the_film_back(bench: Bench) -> None:
    engine, _ = bench.engine()
    images = [picture(seed) for seed in range(3)]
    nothing = StyleParams(prompt="ink", strength=0.0)

    shown = list(Film(engine, nothing, Blending("causal", 1, search=QUICK)).frames(images))

    assert all(np.array_equal(one, other) for one, other in zip(shown, images, strict=True))
