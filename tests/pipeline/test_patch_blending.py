"""Blending over a clip's frames."""

import cv2
import numpy as np
import pytest

from pipeline import patch_blending
from pipeline.errors import ConfigError
from pipeline.metrics import sharpness
from pipeline.patch_blending import LEAST_DETAIL, Blending, Image, Mode, keep_detail
from pipeline.patch_match import Search

SEARCH = Search(least_patch=3, rounds=2)
SIDE = 32


def texture(seed: int, width: int = SIDE) -> Image:
    noise = np.random.default_rng(seed).integers(0, 255, (SIDE // 4, width // 4, 3), np.uint8)
    return np.asarray(cv2.resize(noise, (width, SIDE), interpolation=cv2.INTER_CUBIC), np.uint8)


def clip(frames: int = 5, speed: int = 2) -> tuple[list[Image], list[Image]]:
    """A picture that moves by some pixels a frame, restyled with other stains in each."""
    large, random = texture(0, 64), np.random.default_rng(1)
    guides = [np.ascontiguousarray(large[:, speed * n : speed * n + SIDE]) for n in range(frames)]
    stains = random.normal(0, 12, (frames, SIDE // 8, SIDE // 8, 3))
    errors = [cv2.resize(stain, (SIDE, SIDE), interpolation=cv2.INTER_LINEAR) for stain in stains]
    styles = [
        np.clip(255.0 - guide + error, 0, 255).astype(np.uint8)
        for guide, error in zip(guides, errors, strict=True)
    ]
    return guides, styles


def off(guides: list[Image], shown: list[Image], number: int) -> float:
    return float(np.abs(shown[number].astype(float) - (255.0 - guides[number]))[4:-4, 4:-4].mean())


@pytest.mark.parametrize("mode", ["balanced", "accurate", "causal"])
def test_blending_averages_the_errors_of_frames_away(
    mode: Mode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patch_blending, "keep_detail", lambda blended, own: blended)
    guides, styles = clip(speed=0)
    shown = Blending(mode, 2, search=SEARCH)(guides, styles)

    assert off(guides, shown, 2) < 0.8 * off(guides, styles, 2)


def test_equal_frames_stay_as_they_are() -> None:
    frame = texture(3)
    for mode in ("balanced", "accurate", "interpolation", "causal"):
        shown = Blending(mode, 1, search=SEARCH)([frame] * 4, [255 - frame] * 4)
        assert all(np.abs(np.int16(picture) - (255 - frame)).max() <= 1 for picture in shown)


def test_causal_blending_looks_at_no_later_frame() -> None:
    guides, styles = clip()
    whole = Blending("causal", 2, search=SEARCH)(guides, styles)
    begun = Blending("causal", 2, search=SEARCH)(guides[:3], styles[:3])

    assert all(np.array_equal(one, other) for one, other in zip(begun, whole[:3], strict=True))
    assert np.array_equal(whole[0], styles[0])


def test_interpolation_needs_only_the_key_frames() -> None:
    guides, styles = clip()
    broken = [style if n in (0, 4) else np.zeros_like(style) for n, style in enumerate(styles)]
    shown = Blending("interpolation", spacing=4, search=Search(least_patch=3))(guides, broken)

    assert np.array_equal(shown[0], styles[0])
    assert np.array_equal(shown[4], styles[4])
    assert off(guides, shown, 2) < 1.6 * off(guides, styles, 2)


def test_detail_is_kept_however_blurred_the_blend_is() -> None:
    sharp = texture(4)
    for blur in (0.5, 1.0, 4.0):
        blended = np.asarray(cv2.GaussianBlur(sharp, (0, 0), blur), np.uint8)
        assert sharpness(keep_detail(blended, sharp)) >= LEAST_DETAIL * sharpness(sharp)


def test_progress_is_told_frame_by_frame_and_wrong_values_by_name() -> None:
    guides, styles = clip(3)
    told: list[int] = []
    Blending("causal", 1, search=SEARCH)(guides, styles, lambda: told.append(1))
    assert len(told) == 3

    for wrong, words in (
        ({"window": 0}, "window 0: give 1 to 30"),
        ({"spacing": 1}, "spacing 1: give 2 to 30"),
    ):
        with pytest.raises(ConfigError, match=words):
            Blending(**wrong)  # type: ignore[arg-type]  # wrong on purpose
    with pytest.raises(ConfigError, match="2 restyled frames of 3"):
        Blending()(guides, styles[:2])
