"""One source after another: numbers go on, and only the end of the one in use counts."""

import threading
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import pytest

from streams.errors import SourceError
from streams.frame import Frame
from streams.sinks.recorder import Recorder
from streams.sources.place import Place
from streams.sources.switch import SourceSwitch
from tests.streams.pictures import frame, level_of
from tests.streams.waiting import PATIENCE


class Seen:
    """Keeps what came, and lets wait for it."""

    def __init__(self) -> None:
        self.frames: list[Frame] = []
        self.ended = 0
        self._changed = threading.Condition()
        self.switch = SourceSwitch(self._put, lambda _: None, self._end)

    def _put(self, came: Frame) -> None:
        with self._changed:
            self.frames.append(came)
            self._changed.notify()

    def _end(self) -> None:
        with self._changed:
            self.ended += 1
            self._changed.notify()

    def more(self, count: int) -> None:
        with self._changed:
            wanted = len(self.frames) + count
            assert self._changed.wait_for(lambda: len(self.frames) >= wanted, PATIENCE)

    def end(self) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: self.ended, PATIENCE)


@pytest.fixture
def seen() -> Iterator[Seen]:
    made = Seen()
    yield made
    made.switch.close()


def film(path: Path, level: int, frames: int = 5) -> Place:
    recorder = Recorder(path, Fraction(25))
    for number in range(frames):
        recorder.write(frame(number, level).picture)
    recorder.close()
    return Place("file", str(path), path.name)


def test_numbers_go_on_and_the_end_of_the_old_one_is_no_end(seen: Seen, tmp_path: Path) -> None:
    seen.switch.change(film(tmp_path / "dark.mp4", 40), loop=False)
    seen.more(2)
    seen.switch.change(film(tmp_path / "bright.mp4", 200))
    seen.more(12)  # more than twice round
    assert seen.ended == 0
    assert [each.number for each in seen.frames] == list(range(len(seen.frames)))
    times = [each.pts for each in seen.frames]
    assert times == sorted(times)
    assert abs(level_of(seen.frames[0].picture) - 40) < 8
    assert abs(level_of(seen.frames[-1].picture) - 200) < 8


def test_one_that_cannot_be_opened_leaves_the_old_one(seen: Seen, tmp_path: Path) -> None:
    seen.switch.change(film(tmp_path / "dark.mp4", 40))
    seen.more(1)
    with pytest.raises(SourceError, match=r"gone\.mp4: no such file"):
        seen.switch.change(Place("file", str(tmp_path / "gone.mp4"), "gone.mp4"))
    seen.more(6)
    assert seen.switch.source.place.name == "dark.mp4"


def test_the_end_of_the_one_in_use_is_told(seen: Seen, tmp_path: Path) -> None:
    seen.switch.change(film(tmp_path / "short.mp4", 40), loop=False)
    seen.end()
    assert len(seen.frames) == 5


def test_nothing_is_opened_after_the_end(seen: Seen, tmp_path: Path) -> None:
    place = film(tmp_path / "dark.mp4", 40)
    seen.switch.close()
    with pytest.raises(SourceError, match="the session has ended"):
        seen.switch.change(place)


@pytest.mark.parametrize("begin", [0.0, 0.5])
def test_a_file_begins_where_it_is_told_to(seen: Seen, tmp_path: Path, begin: float) -> None:
    place = film(tmp_path / "film.mp4", 40, frames=25)
    seen.switch.change(place, loop=False, begin=begin)
    seen.end()
    assert len(seen.frames) == pytest.approx(25 * (1 - begin), abs=1)


def test_pictures_that_grow_too_large_midway_are_left_out(
    seen: Seen, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = []
    for side in (64, 128, 64):
        parts.append(tmp_path / f"{side}.ts")
        recorder = Recorder(parts[-1], Fraction(25))
        for number in range(5):
            recorder.write(frame(number, 40, side, side).picture)
        recorder.close()
    whole = tmp_path / "whole.ts"
    whole.write_bytes(b"".join(part.read_bytes() for part in parts))
    monkeypatch.setattr("streams.sources.media._LARGEST", 64 * 64)
    seen.switch.change(Place("file", str(whole), "whole.ts"), loop=False)
    seen.end()
    assert len(seen.frames) >= 8
    assert {(each.picture.width, each.picture.height) for each in seen.frames} == {(64, 64)}
