"""`restyle consistency`: figures of a film, beside the same film unsmoothed, and as a plot."""

import json
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from server.__main__ import main
from server.consistency import beside

SIDE = 128
Picture = NDArray[np.uint8]


def moving(frames: int = 8, step: int = 2) -> list[Picture]:
    """Give a texture that goes to the left by some pixels a frame."""
    noise = np.random.default_rng(0).normal(0, 1, (SIDE, SIDE + frames * step, 3))
    wide = np.clip(128 + 150 * cv2.GaussianBlur(noise, (0, 0), 1.5), 0, 255).astype(np.uint8)
    return [np.ascontiguousarray(wide[:, n * step : n * step + SIDE]) for n in range(frames)]


def film(path: Path, pictures: list[Picture]) -> str:
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=25, options={"crf": "4"})
        stream.width, stream.height, stream.pix_fmt = SIDE, SIDE, "yuv420p"
        for picture in pictures:
            out.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "rgb24")))
        out.mux(stream.encode(None))
    return str(path)


def measured(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, object]:
    assert main(("consistency", *arguments, "--json")) == 0
    found: dict[str, object] = json.loads(capsys.readouterr().out)
    return found


def test_a_film_beside_itself_has_the_same_sharpness_and_motion(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clip = film(tmp_path / "clip.mp4", moving())

    found = measured(capsys, clip, clip, "--baseline", clip)

    assert found["sharpness_to_baseline"] == 1
    assert found["motion_to_baseline"] == found["moving_to_baseline"] == 1
    assert found["flags"] == []


def test_a_film_that_is_steady_by_blur_or_by_freezing_is_flagged(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pictures = moving()
    clip = film(tmp_path / "clip.mp4", pictures)
    soft = film(tmp_path / "soft.mp4", [cv2.GaussianBlur(p, (5, 5), 1.0) for p in pictures])
    frozen = film(tmp_path / "frozen.mp4", pictures[:1] * len(pictures))

    assert str(measured(capsys, clip, soft, "--baseline", clip)["flags"]).count("softer") == 1
    assert "moves less" in str(measured(capsys, clip, frozen, "--baseline", clip)["flags"])


def test_a_frozen_film_is_flagged_without_a_baseline_unless_its_input_is_frozen_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pictures = moving()
    clip = film(tmp_path / "clip.mp4", pictures)
    frozen = film(tmp_path / "frozen.mp4", pictures[:1] * len(pictures))

    assert "frozen: changes 0.0" in str(measured(capsys, clip, frozen)["flags"])
    assert measured(capsys, clip, clip)["flags"] == []
    assert measured(capsys, frozen, frozen)["flags"] == []


def test_a_film_that_boils_is_flagged_and_one_that_steadies_bare_walls_is_not() -> None:
    baseline = {"sharpness": 4e-4, "motion_ratio": 0.3, "moving_ratio": 0.9}

    assert "moves more" in str(beside(baseline | {"motion_ratio": 1.3}, baseline)["flags"])
    assert beside(baseline | {"motion_ratio": 0.9}, baseline)["flags"] == []  # nearer to the input
    assert beside(baseline | {"motion_ratio": 0.2}, baseline)["flags"] == []
    assert beside(baseline, baseline | {"moving_ratio": 0.0})["moving_to_baseline"] is None


def test_the_figures_of_every_frame_are_drawn_as_png(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("matplotlib")
    clip, plot = film(tmp_path / "clip.mp4", moving()), tmp_path / "plot.png"

    measured(capsys, clip, clip, "--baseline", clip, "--plot", str(plot))

    drawn = cv2.imread(str(plot))
    assert plot.read_bytes().startswith(b"\x89PNG")
    assert drawn is not None
    assert float(drawn.std()) > 10  # lines and letters


@pytest.mark.parametrize("frames", [1, 2])
def test_a_film_too_short_for_a_figure_is_drawn_without_it(
    frames: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("matplotlib")
    clip, plot = film(tmp_path / "clip.mp4", moving(frames)), tmp_path / "plot.png"

    assert measured(capsys, clip, clip, "--plot", str(plot))["frames"] == frames
    assert plot.exists()


def test_a_shorter_baseline_and_a_folder_that_is_not_there_end_with_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clip, short = film(tmp_path / "clip.mp4", moving()), film(tmp_path / "short.mp4", moving(5))

    assert main(("consistency", clip, clip, "--baseline", short)) == 2
    assert "short.mp4: ends after 5 frames" in capsys.readouterr().err
    if pytest.importorskip("matplotlib"):
        assert main(("consistency", clip, clip, "--plot", "/nowhere/plot.png")) == 2
        assert "no such folder" in capsys.readouterr().err
        for name in (str(tmp_path), str(tmp_path / "plot.txt")):
            assert main(("consistency", clip, clip, "--plot", name)) == 2
            assert "give the name of a PNG file" in capsys.readouterr().err
