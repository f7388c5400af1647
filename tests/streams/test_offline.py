from fractions import Fraction
from pathlib import Path

import av
import pytest

from pipeline.config import EngineConfig
from pipeline.params import StyleParams
from streams.errors import SinkError, SourceError
from streams.offline import stylize_file
from streams.sinks.recorder import Recorder
from streams.sources.file import FileSource
from tests.streams.fakes import FakeEngine
from tests.streams.pictures import frame, level_of


def record(path: Path, levels: list[int]) -> Path:
    recorder = Recorder(path, Fraction(25))
    for number, level in enumerate(levels):
        recorder.write(frame(number, level).picture)
    recorder.close()
    return path


def levels_of(path: Path) -> list[int]:
    with av.open(str(path)) as container:
        return [level_of(picture) for picture in container.decode(video=0)]


@pytest.mark.parametrize("ending", ["mp4", "mkv"])
def test_every_frame_comes_out_restyled_and_in_order(ending: str, tmp_path: Path) -> None:
    levels = list(range(20, 220, 10))
    source = FileSource(record(tmp_path / f"in.{ending}", levels))
    told: list[dict[str, float]] = []

    count = stylize_file(
        FakeEngine(), source, tmp_path / f"out.{ending}", StyleParams(), told.append
    )
    source.close()

    shown = levels_of(tmp_path / f"out.{ending}")
    assert count == len(shown) == len(told) == len(levels)
    assert all(abs(255 - a - b) <= 6 for a, b in zip(levels, shown, strict=True))


@pytest.mark.parametrize(("width", "height"), [(96, 64), (64, 128)])
def test_a_result_may_be_wide_or_tall(width: int, height: int, tmp_path: Path) -> None:
    engine = FakeEngine(EngineConfig(width=width, height=height), sizes={(width, height)})
    source = FileSource(record(tmp_path / "in.mp4", [50, 100]))
    stylize_file(engine, source, tmp_path / "out.mp4", StyleParams(), lambda _: None)
    source.close()
    with av.open(str(tmp_path / "out.mp4")) as container:
        shown = list(container.decode(video=0))
    assert [(picture.width, picture.height) for picture in shown] == [(width, height)] * 2


def test_bypass_copies(tmp_path: Path) -> None:
    source = FileSource(record(tmp_path / "in.mp4", [50, 100, 150]))
    style = StyleParams(bypass=True)
    stylize_file(FakeEngine(), source, tmp_path / "out.mp4", style, lambda _: None)
    source.close()
    assert all(
        abs(a - b) <= 5
        for a, b in zip([50, 100, 150], levels_of(tmp_path / "out.mp4"), strict=True)
    )


def test_a_failure_leaves_no_partial_file(tmp_path: Path) -> None:
    source = FileSource(record(tmp_path / "in.mp4", [50] * 5))
    style = StyleParams(prompt="fail")
    with pytest.raises(RuntimeError):
        stylize_file(FakeEngine(), source, tmp_path / "out.mp4", style, lambda _: None)
    source.close()
    assert not (tmp_path / "out.mp4").exists()


def test_what_is_no_video_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no such file"):
        FileSource(tmp_path / "nowhere.mp4")
    (tmp_path / "text.mp4").write_text("hello")
    with pytest.raises(SourceError, match=r"text\.mp4: not a video"):
        FileSource(tmp_path / "text.mp4")


def test_a_video_without_a_frame_is_an_error_and_makes_no_file(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "in.avi"), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        container.start_encoding()
    source = FileSource(tmp_path / "in.avi")
    with pytest.raises(SourceError, match="no frame"):
        stylize_file(FakeEngine(), source, tmp_path / "out.mp4", StyleParams(), lambda _: None)
    source.close()
    assert not (tmp_path / "out.mp4").exists()


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(SinkError, match="nowhere"):
        Recorder(tmp_path / "nowhere" / "out.mp4", Fraction(25))
    with pytest.raises(SinkError, match=r"out\.xyz"):
        Recorder(tmp_path / "out.xyz", Fraction(25))


@pytest.mark.parametrize("name", ["out.webm", "out.gif", "out.mp3"])
def test_a_kind_of_file_that_holds_no_h264_is_named(name: str, tmp_path: Path) -> None:
    with pytest.raises(SinkError, match=rf"{name}: .*\.mp4"):
        Recorder(tmp_path / name, Fraction(25))
    assert not list(tmp_path.iterdir())


def test_a_disk_that_is_full_is_told_and_leaves_no_partial_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = FileSource(record(tmp_path / "in.mp4", [40] * 3))

    def full(self: Recorder, picture: object) -> None:
        raise SinkError("the disk is full")

    monkeypatch.setattr(Recorder, "_mux", full)  # writing, and also what is left at the end
    with pytest.raises(SinkError, match="the disk is full"):
        stylize_file(FakeEngine(), source, tmp_path / "out.mp4", StyleParams(), lambda _: None)
    source.close()
    assert not (tmp_path / "out.mp4").exists()
