import threading
import time
from collections.abc import Callable
from concurrent.futures import Future

import cv2
import numpy as np
import pytest
import torch

from pipeline.cores import available_cores
from pipeline.params import StyleParams
from pipeline.session_state import Followed, SessionState, Travel

SHAPE = (4, 32, 32)


BLACK = np.zeros((256, 256, 3), np.uint8)


def noise_of(session: SessionState, params: StyleParams, image: np.ndarray = BLACK) -> torch.Tensor:
    if params.noise != "warped":
        return session.noise.still(params)
    noise = session.follow(params, image).noise
    assert noise is not None
    return noise


def state() -> SessionState:
    return SessionState(SHAPE, torch.device("cpu"))


def test_a_blend_of_seeds_is_white_all_the_way_and_ends_at_the_other_seed() -> None:
    session = state()
    seeds = {"seed": 5, "blend_seed": 9}
    start = noise_of(session, StyleParams(**seeds))
    middle = noise_of(session, StyleParams(**seeds, seed_blend=0.5))
    end = noise_of(session, StyleParams(**seeds, seed_blend=1.0))

    assert float(middle.var()) == pytest.approx(1, abs=0.02)
    torch.testing.assert_close(end, noise_of(state(), StyleParams(seed=9)), atol=1e-6, rtol=0)
    for other in (start, end):
        likeness = float((middle * other).mean())
        assert likeness == pytest.approx(2**-0.5, abs=0.02)


def test_a_blend_follows_its_seeds() -> None:
    session = state()
    there = noise_of(session, StyleParams(seed=1, blend_seed=2, seed_blend=0.3))
    back = noise_of(session, StyleParams(seed=2, blend_seed=1, seed_blend=0.3))
    again = noise_of(session, StyleParams(seed=1, blend_seed=2, seed_blend=0.3))

    assert not torch.equal(there, back)
    assert torch.equal(there, again)


def test_only_the_seeds_in_use_are_kept() -> None:
    session = state()
    for seed in range(50):
        noise_of(session, StyleParams(seed=seed, blend_seed=seed + 1, seed_blend=0.5))

    assert len(session.noise._drawn) <= 3


def at(value: float) -> torch.Tensor:
    return torch.full((1, 2, 3), value)


def test_a_prompt_travels_at_an_even_pace_and_arrives() -> None:
    travel = Travel()
    ink, oil = at(0.0), at(1.0)

    assert travel.towards(ink, 2.0, 10.0) is ink  # there is nothing to come from
    values = [float(travel.towards(oil, 2.0, 10.0 + t)[0, 0, 0]) for t in (0, 0.5, 1, 1.5)]
    assert values == pytest.approx([0, 0.25, 0.5, 0.75])
    assert travel.towards(oil, 2.0, 12.0) is oil
    assert not travel.under_way(12.0)


def test_a_new_goal_starts_from_where_it_is() -> None:
    travel = Travel()
    ink, oil, back = at(0.0), at(1.0), at(0.0)
    travel.towards(ink, 2.0, 0.0)
    travel.towards(oil, 2.0, 0.0)

    assert float(travel.towards(back, 2.0, 1.0)[0, 0, 0]) == pytest.approx(0.5)
    assert float(travel.towards(back, 2.0, 2.0)[0, 0, 0]) == pytest.approx(0.25)


def test_without_a_time_a_prompt_holds_at_once() -> None:
    travel = Travel()
    ink, oil = at(0.0), at(1.0)
    travel.towards(ink, 0.0, 0.0)

    assert travel.towards(oil, 0.0, 1.0) is oil


def textured(number: int) -> np.ndarray:
    """A picture that moves two pixels a frame."""
    noise = np.random.default_rng(0).integers(0, 255, (64, 80, 3), np.uint8)
    large = cv2.resize(noise, (320, 256), interpolation=cv2.INTER_CUBIC)
    return np.ascontiguousarray(large[:, 2 * number : 2 * number + 256])


def test_carried_noise_moves_with_the_picture_and_fixed_noise_does_not() -> None:
    packs = {}
    for kind in ("fixed", "warped", "fresh"):
        session, params = state(), StyleParams(noise=kind, steps=1)
        packs[kind] = [noise_of(session, params, textured(n))[0].clone() for n in range(9)]

    def likeness(kind: str, columns: int) -> float:
        """Of the last frame and the first one, moved by so many latents of eight pixels."""
        first, last = packs[kind][0], packs[kind][-1]
        inner = last[:, 2:-2, 2:-6]
        return float((inner * first[:, 2:-2, 2 + columns : 26 + columns]).mean())

    assert likeness("warped", 2) > 0.8  # 16 pixels in all
    assert abs(likeness("warped", 0)) < 0.2
    assert likeness("fixed", 0) > 0.9
    assert abs(likeness("fresh", 0)) < 0.1
    for kind in packs:
        assert float(packs[kind][-1].var()) == pytest.approx(1, abs=0.1)


def test_a_share_of_carried_noise_keeps_the_variance_and_still_pictures_keep_theirs() -> None:
    session, half = state(), StyleParams(noise="warped", noise_warp=0.5, steps=2)
    first = noise_of(session, half, textured(0)).clone()
    second = noise_of(session, half, textured(0)).clone()

    assert first.shape == (2, *SHAPE)
    assert torch.equal(first, second)
    assert float(first.var()) == pytest.approx(1, abs=0.05)
    fixed = noise_of(state(), StyleParams())[:2]
    assert float((first * fixed).mean()) == pytest.approx(2**-0.5, abs=0.05)


def test_a_cut_and_a_new_seed_begin_with_new_noise() -> None:
    session, params = state(), StyleParams(noise="warped", steps=1)
    first = noise_of(session, params, textured(0)).clone()
    negative = noise_of(session, params, 255 - textured(3)).clone()
    other = noise_of(session, StyleParams(noise="warped", seed=9), 255 - textured(3)).clone()

    assert abs(float((first * negative).mean())) < 0.05  # T2.12
    assert abs(float((negative * other).mean())) < 0.05


def scene_with_a_thing(at: int, seed: int) -> np.ndarray:
    """A textured thing at a column before a textured wall, with sensor noise of 2 grey levels."""
    random = np.random.default_rng(0)
    wall, thing = (random.integers(30, 225, (side, side, 3), np.uint8) for side in (32, 8))
    picture = cv2.resize(wall, (256, 256), interpolation=cv2.INTER_CUBIC).astype(np.float32)
    picture[96:160, at : at + 64] = cv2.resize(thing, (64, 64), interpolation=cv2.INTER_CUBIC)
    noisy = picture + np.random.default_rng(seed).normal(0, 2, picture.shape)
    return np.clip(noisy, 0, 255).astype(np.uint8)


@pytest.mark.parametrize("step", [4, 8, 16])
def test_what_a_thing_uncovers_as_it_moves_takes_its_value_at_once(step: int) -> None:
    """T3.3, with the motion that is found: under a twentieth of what was there is blended in."""
    session, params = state(), StyleParams(deflicker=1.0)
    images = [scene_with_a_thing(40, seed) for seed in range(13)]  # past the filters' ramps
    images.append(scene_with_a_thing(40 + step, 13))

    def latents(image: np.ndarray) -> torch.Tensor:
        small = cv2.resize(
            image.astype(np.float32) / 64 - 2, (32, 32), interpolation=cv2.INTER_AREA
        )
        return torch.from_numpy(small).permute(2, 0, 1)[None]

    for image in images:
        motions = session.follow(params, image).motions
        on_latents, on_pixels = (motions.latents, motions.pixels) if motions else (None, None)
        filtered = session.deflicker(latents(image), on_latents, 1.0, "ink")
        shown = session.picture_filter(image, on_pixels, 1.0, "ink")

    uncovered = (slice(100, 156), slice(40, 40 + step))
    off, gap = (
        np.abs(image.astype(np.float32) - images[-1])[uncovered].mean()
        for image in (shown, images[-2])
    )
    assert off < 0.05 * gap
    cells = (..., slice(13, 19), slice(5, 5 + max(1, step // 8)))
    new = latents(images[-1])[cells]
    assert (filtered[cells] - new).abs().mean() < 0.05 * (
        latents(images[-2])[cells] - new
    ).abs().mean()


def test_a_few_threads_follow_all_sessions_each_of_them_in_order(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """OpenCV keeps memory for each thread that ever called it."""
    threads: set[int] = set()
    seen: list[tuple[SessionState, int]] = []

    def follow(session: SessionState, params: StyleParams, image: np.ndarray) -> Followed:
        threads.add(threading.get_ident())
        time.sleep(0.002 * (seen.count((session, 0)) == 0))  # a first frame takes longer
        seen.append((session, int(image[0, 0, 0])))
        return Followed(None, None)

    monkeypatch.setattr(SessionState, "follow", follow)
    sessions = [state() for _ in range(12)]
    asked = [
        session.follow_aside(StyleParams(deflicker=0.5), BLACK + np.uint8(number))
        for number in range(5)
        for session in sessions
    ]
    for each in asked:
        assert each is not None
        each.result(10.0)
    for session in sessions:
        assert [number for its, number in seen if its is session] == list(range(5))
    assert len(threads) <= max(2, available_cores())


def test_motion_is_searched_for_once_it_is_begun_and_never_before_an_older_frames(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Or it would take Python's lock from an admission, which has a dozen small steps to make."""
    seen: list[int] = []

    def follow(session: SessionState, params: StyleParams, image: np.ndarray) -> Followed:
        seen.append(int(image[0, 0, 0]))
        return Followed(None, None)

    class AtOnce:
        def submit(self, find: Callable[..., Followed], *args: object) -> Future[Followed]:
            future: Future[Followed] = Future()
            future.set_result(find(*args))
            return future

    monkeypatch.setattr(SessionState, "follow", follow)
    monkeypatch.setattr("pipeline.session_state.ASIDE", AtOnce())
    session, params = state(), StyleParams(deflicker=0.5)
    asked = [session.follow_aside(params, BLACK + np.uint8(number)) for number in range(4)]
    assert seen == []

    assert asked[2] is not None
    asked[2].begin()
    assert seen == [0, 1, 2]
    for each in asked:
        assert each is not None
        each.result(10.0)
    assert seen == [0, 1, 2, 3]


def test_a_frame_that_could_not_be_followed_does_not_hold_up_the_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def follow(session: SessionState, params: StyleParams, image: np.ndarray) -> Followed:
        if image.any():
            raise ValueError("no motion")
        return Followed(None, None)

    monkeypatch.setattr(SessionState, "follow", follow)
    session, params = state(), StyleParams(deflicker=0.5)
    bad, good = (session.follow_aside(params, image) for image in (BLACK + 1, BLACK))
    assert bad is not None
    assert good is not None
    assert good.result(10.0) == Followed(None, None)
    with pytest.raises(ValueError, match="no motion"):
        bad.result(10.0)
