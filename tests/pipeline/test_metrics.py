import math

import cv2
import numpy as np
import pytest

from pipeline.metrics import (
    Consistency,
    Image,
    Motion,
    flicker,
    motion_between,
    sharpness,
    warp_error,
)


def textured(height: int = 120, width: int = 160) -> Image:
    noise = np.random.default_rng(0).integers(0, 255, (height // 4, width // 4, 3), np.uint8)
    return cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC)


def still(image: Image) -> Motion:
    height, width = image.shape[:2]
    return Motion(np.zeros((height, width, 2), np.float32), np.ones((height, width), bool))


def test_a_shift_is_found_and_what_came_into_view_is_not_valid() -> None:
    large = textured()
    earlier, frame = large[:, 8:], large[:, :-8]  # the content moved 8 pixels to the right

    motion = motion_between(frame, earlier)

    inner = motion.flow[20:-20, 30:-30]
    assert np.median(inner[..., 0]) == pytest.approx(-8, abs=0.3)
    assert np.median(inner[..., 1]) == pytest.approx(0, abs=0.3)
    assert motion.valid[20:-20, 30:-30].mean() > 0.9
    assert not motion.valid[:, :7].any()  # there was nothing of it before


def test_what_moves_with_the_input_has_no_error_and_what_stays_has() -> None:
    large = textured()
    earlier, frame = large[:, 8:], large[:, :-8]
    motion = motion_between(frame, earlier)

    moved = warp_error(255 - frame, 255 - earlier, motion)
    stuck = warp_error(255 - frame, 255 - frame, motion)

    assert moved < 0.002
    assert stuck > 10 * moved


def test_a_known_difference_gives_its_square() -> None:
    grey = np.full((40, 40, 3), 100, np.uint8)
    brighter = grey + np.uint8(51)  # a fifth of the range

    assert warp_error(brighter, grey, still(grey)) == pytest.approx(0.04)
    # the middle frame alone differs from both neighbours
    assert flicker(grey, brighter, grey, still(grey), still(grey)) == pytest.approx(0.04)
    # a steady change is no flicker
    steps = [grey, grey + np.uint8(20), grey + np.uint8(40)]
    assert flicker(steps[0], steps[1], steps[2], still(grey), still(grey)) == pytest.approx(0)


def test_pictures_of_bytes_and_of_floats_give_the_same_figures() -> None:
    """T5: bytes that were subtracted as such would wrap."""
    large = textured()
    frames = [np.ascontiguousarray(large[:, 3 * n : 3 * n + 120]) for n in range(3)]
    floats = [frame.astype(np.float32) / np.float32(255) for frame in frames]
    motion, ahead = motion_between(frames[1], frames[0]), motion_between(frames[1], frames[2])

    again = motion_between(floats[1], floats[0])
    assert np.array_equal(again.flow, motion.flow)
    assert np.array_equal(again.valid, motion.valid)
    dark = [frame // 3 for frame in frames]
    dimmed = [frame.astype(np.float32) / np.float32(255) for frame in dark]
    for one, other in ((frames, floats), (dark, dimmed)):
        assert warp_error(one[1], frames[0], motion) == warp_error(other[1], floats[0], motion)
        assert flicker(*one, motion, ahead) == flicker(*other, motion, ahead)
        assert sharpness(one[0]) == sharpness(other[0])


def wall(seed: int) -> Image:
    """Give a bare wall as a camera sees it, with a sensor's noise of 2 grey levels."""
    noise = np.random.default_rng(seed).normal(0, 2, (128, 128, 1))
    return np.rint(np.clip(120 + noise, 0, 255)).astype(np.uint8).repeat(3, axis=2)


def test_a_bare_wall_stands_and_what_is_drawn_on_it_is_not_blamed() -> None:
    motion = motion_between(wall(0), wall(1))

    assert np.linalg.norm(motion.flow, axis=-1).mean() < 0.3  # T2.13
    assert motion.valid.mean() > 0.95
    assert motion.moves.mean() < 0.01
    dabs = textured(128, 128)
    assert warp_error(dabs, dabs, motion) < 1e-4


def test_a_disc_that_moves_before_a_bare_wall_is_followed() -> None:
    """T2.13: the gate leaves alone what surely moves."""
    disc = np.zeros((128, 128), np.uint8)
    cv2.circle(disc, (60, 64), 24, 1, -1)
    inner = cv2.erode(disc, np.ones((9, 9), np.uint8)) > 0
    texture = textured(128, 140)
    earlier, frame = wall(0), wall(1)
    ahead = np.roll(disc, 3, axis=1) > 0
    earlier[disc > 0] = texture[:, 3:131][disc > 0]
    frame[ahead] = texture[:, :128][ahead]

    motion = motion_between(frame, earlier)

    moved = np.roll(inner, 3, axis=1)
    assert np.linalg.norm(motion.flow[moved] - (-3, 0), axis=-1).mean() < 0.3
    assert motion.moves[moved].mean() > 0.95
    far = cv2.dilate(disc, np.ones((31, 31), np.uint8)) == 0
    assert motion.moves[far].mean() < 0.03  # a fifth without the gate


def test_a_shift_by_whole_pixels_has_no_error() -> None:
    """T5: along the true motion."""
    large = textured()
    earlier, frame = large[5:, 8:], large[:-5, :-8]
    flow = np.full((*frame.shape[:2], 2), (-8, -5), np.float32)
    valid = np.ones(frame.shape[:2], bool)
    valid[:5], valid[:, :8] = False, False  # there was nothing of it before

    assert warp_error(frame, earlier, Motion(flow, valid)) < 1e-6
    flow[..., 0] = 8
    assert warp_error(frame, earlier, Motion(flow, valid)) > 0.01


def test_nothing_valid_is_not_a_number() -> None:
    grey = np.zeros((8, 8, 3), np.uint8)
    nowhere = Motion(np.zeros((8, 8, 2), np.float32), np.zeros((8, 8), bool))

    assert math.isnan(warp_error(grey, grey, nowhere))
    assert math.isnan(flicker(grey, grey, grey, nowhere, nowhere))


def figures_of(stylize: object) -> dict[str, float]:
    """Of a picture that moves a pixel a frame, restyled by a function of frame and number."""
    large, found = textured(120, 220), Consistency()
    for number in range(8):
        source = np.ascontiguousarray(large[:, number : number + 160])
        found.add(source, stylize(source, number))  # type: ignore[operator]  # a test's function
    return found.figures()


def test_an_output_that_moves_as_its_input_is_consistent() -> None:
    found = figures_of(lambda source, number: 255 - source)

    assert found["warp_error_1"] < 4
    assert found["warp_error_5"] < 6
    assert found["motion_ratio"] == pytest.approx(1, abs=0.1)
    assert found["moving_ratio"] == pytest.approx(1, abs=0.1)
    assert found["tof"] < 0.1
    assert "warp_error_30" not in found  # the clip is shorter


def test_flicker_freezing_and_blur_are_told_apart() -> None:
    steady = figures_of(lambda source, number: 255 - source)
    kept = 255 - textured(120, 220)[:, :160]
    frozen = figures_of(lambda source, number: kept)
    flickering = figures_of(lambda source, number: 255 - source // (1 + number % 2))
    blurred = figures_of(lambda source, number: cv2.GaussianBlur(255 - source, (0, 0), 3))

    assert flickering["flicker"] > 50 * max(steady["flicker"], 0.1)
    assert frozen["motion_ratio"] < 0.5
    assert frozen["moving_ratio"] < 0.5
    assert frozen["warp_error_1"] > 3 * steady["warp_error_1"]
    assert blurred["sharpness"] < 0.2 * steady["sharpness"]
    assert sharpness(kept) == pytest.approx(frozen["sharpness"], rel=1e-3)


def test_flicker_on_still_parts_does_not_see_what_moves() -> None:
    random, found, calm = np.random.default_rng(0), Consistency(), Consistency()
    scene = textured(128, 128)
    for number in range(6):
        source = scene.copy()
        source[20:60, 20 + 4 * number : 60 + 4 * number] = textured()[:40, :40]
        boiling = source.copy()
        boiling[22:58, 22 + 4 * number : 58 + 4 * number] = random.integers(0, 255, (36, 36, 3))
        found.add(source, boiling)
        calm.add(source, source)

    assert found.figures()["flicker"] > 100 * max(calm.figures()["flicker"], 0.1)
    assert found.figures()["flicker_still"] == pytest.approx(0, abs=0.1)


def test_remembered_motion_gives_the_same_figures() -> None:
    known: dict[tuple[int, int], Motion] = {}
    frames = [np.ascontiguousarray(textured()[:, n : n + 120]) for n in range(5)]

    def remembered(frame: Image, other: Image) -> Motion:
        key = (id(frame), id(other))
        if key not in known:
            known[key] = motion_between(frame, other)
        return known[key]

    plain, first, second = Consistency(), Consistency(remembered), Consistency(remembered)
    for each in (plain, first, second):
        for frame in frames:
            each.add(frame, 255 - frame)

    assert plain.figures() == first.figures() == second.figures()


def test_a_film_that_drifts_away_from_its_first_picture_shows_that() -> None:
    still, found, drifting = textured(96, 96), Consistency(), Consistency()
    for number in range(12):
        found.add(still, still)
        drifting.add(still, cv2.add(still, (2 * number, 0, 0, 0)))

    assert found.figures()["warp_error_first"] == 0
    figures = drifting.figures()
    assert figures["warp_error_1"] == pytest.approx(2 / 3**0.5, rel=0.1)
    # the root of the mean of 1 .. 11 squared, in one colour of three
    assert figures["warp_error_first"] == pytest.approx(2 * 46**0.5 / 3**0.5, rel=0.1)


def test_the_error_by_motion_found_in_noise_stands_beside() -> None:
    random, found = np.random.default_rng(0), Consistency()
    painted = textured(128, 128)
    for _ in range(4):
        noise = random.normal(128, 2, (128, 128, 1)).clip(0, 255)
        found.add(np.repeat(np.rint(noise).astype(np.uint8), 3, axis=2), painted)

    figures = found.figures()
    assert figures["warp_error_1"] < 1  # it stands, as nearly all of the wall does
    assert figures["warp_error_1_found"] > 5 * figures["warp_error_1"]
    energies = [figures[name] ** 2 for name in ("warp_error_1", "warp_error_1_input")]
    assert figures["warp_error_ratio"] == pytest.approx(energies[0] / energies[1], abs=0.01)
