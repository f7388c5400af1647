"""A reference picture is read as a prompt of the model's own styles."""

import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from pipeline.config import EngineConfig
from pipeline.embedded import WEIGHTS
from pipeline.errors import ModelError
from pipeline.models.folder import REFERENCE, Preset, open_folder
from pipeline.prompts import parse_blend
from pipeline.reference import Reference

CLIP = Path(__file__).parents[1] / "fixtures" / "webcam.mp4"


@pytest.fixture(scope="module")
def presets() -> tuple[Preset, ...]:
    return open_folder(EngineConfig()).presets


@pytest.fixture(scope="module")
def reference(presets: tuple[Preset, ...]) -> Reference:
    return Reference(WEIGHTS, presets)


def picture(path: Path) -> NDArray[np.uint8]:
    return np.asarray(cv2.imread(str(path))[..., ::-1])


def photo() -> NDArray[np.uint8]:
    good, frame = cv2.VideoCapture(str(CLIP)).read()
    assert good
    return np.asarray(frame[..., ::-1])


def test_pictures_of_a_style_are_read_as_that_style(
    reference: Reference, presets: tuple[Preset, ...]
) -> None:
    """The thumbnails: one woman, whom training never saw, 96 pixels a side."""
    right = 0
    for preset in presets:
        assert preset.thumbnail is not None
        parts = parse_blend(reference.prompt(picture(preset.thumbnail)))
        right += max(parts, key=lambda part: part[1])[0] == preset.prompt
    assert right >= 26, f"{right} of {len(presets)}"


def test_a_plain_photo_is_none_of_the_styles(reference: Reference) -> None:
    assert reference.prompt(photo()) == ""


def test_what_is_half_of_two_styles_is_read_as_both(
    reference: Reference, presets: tuple[Preset, ...]
) -> None:
    by_name = {preset.name: preset for preset in presets}
    one, other = (by_name[name] for name in ("Neon", "Blueprint"))
    assert one.thumbnail
    assert other.thumbnail
    half = cv2.addWeighted(picture(one.thumbnail), 0.5, picture(other.thumbnail), 0.5, 0)

    texts = {text for text, _ in parse_blend(reference.prompt(half))}

    assert texts & {one.prompt, other.prompt}


@pytest.mark.parametrize("size", [(1, 1), (1, 700), (900, 3), (513, 255), (1200, 1600)])
def test_any_size_is_read(reference: Reference, size: tuple[int, int]) -> None:
    chance = np.random.default_rng(0)
    shares = reference.shares(chance.integers(0, 256, (*size, 3), np.uint8))

    assert shares.shape == (33,)
    assert shares.sum() == pytest.approx(1, abs=1e-5)


def test_its_file_must_fit_the_styles(presets: tuple[Preset, ...], tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="there are 31 styles"):
        Reference(WEIGHTS, presets[:-1])
    tensors = load_file(WEIGHTS / REFERENCE)
    save_file({"mean": tensors["mean"]}, tmp_path / REFERENCE)
    with pytest.raises(ModelError, match="damaged"):
        Reference(tmp_path, presets)


def test_only_a_folder_that_has_one_reads_pictures(tmp_path: Path) -> None:
    copy = tmp_path / "model"
    shutil.copytree(WEIGHTS, copy)
    assert open_folder(EngineConfig(model=str(copy))).reference == copy
    (copy / REFERENCE).unlink()
    assert open_folder(EngineConfig(model=str(copy))).reference is None
