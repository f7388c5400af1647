"""Sound of a source on the server: beside its picture, over loops, jumps and other sources."""

import threading
import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from streams.frame import Frame
from streams.sound import PACKET, Sound
from streams.sources.opus import OpusPackets
from streams.sources.place import Place
from streams.sources.switch import SourceSwitch
from tests.streams.clicks import beginnings, film, sound_frame
from tests.streams.waiting import PATIENCE, until

ALLOWED = 0.025  # seconds: half a picture, and a packet


class Heard:
    """Keeps when each picture and each packet is due."""

    def __init__(self) -> None:
        self.frames: list[Frame] = []
        self.sounds: list[Sound] = []
        self.ended = threading.Event()
        self.switch = SourceSwitch(self.frames.append, self.sounds.append, self.ended.set)

    def flashes(self) -> list[float]:
        levels = [(f.arrived_ns / 1e9, f.picture.to_ndarray()[0].mean() > 128) for f in self.frames]
        return beginnings(levels)

    def clicks(self) -> list[float]:
        """Give when each click begins, to the sample."""
        decoder = av.CodecContext.create("libopus", "r")
        decoder.sample_rate, decoder.layout = 48_000, "stereo"
        found, last = [], 0.0
        for sound in self.sounds:
            for frame in decoder.decode(av.Packet(sound.data)):
                samples = np.abs(frame.to_ndarray().astype(np.int32)).reshape(-1, 2).max(1)
                for index in np.flatnonzero(samples > 4000):
                    at = sound.arrived + index / 48_000
                    if at - last > 0.2:
                        found.append(at)
                    last = at
        return found

    def offsets(self) -> list[float]:
        clicks = self.clicks()
        return [min((each - at for each in clicks), key=abs) for at in self.flashes()]

    def wait(self, marks: int) -> None:
        until(lambda: len(self.flashes()) >= marks)
        time.sleep(0.2)  # and their sound


@pytest.fixture
def heard() -> Iterator[Heard]:
    made = Heard()
    yield made
    made.switch.close()


def place(path: Path) -> Place:
    return Place("file", str(path), path.name)


@pytest.mark.parametrize(
    ("name", "rate", "layout", "apart"),
    [("a.mp4", 44_100, "mono", 1), ("b.mkv", 48_000, "5.1", 1), ("c.mov", 22_050, "stereo", 25)],
)
def test_clicks_are_due_with_their_flashes_and_loops_leave_no_gap(
    heard: Heard, tmp_path: Path, name: str, rate: int, layout: str, apart: int
) -> None:
    film(tmp_path / name, 1.0, rate, layout, apart)
    heard.switch.change(place(tmp_path / name))
    heard.wait(3)
    heard.switch.close()
    offsets = heard.offsets()
    assert max(map(abs, offsets)) < ALLOWED, offsets
    flashes = np.diff(heard.flashes())
    # the sound is a little longer than the pictures: the encoder fills its last packet
    assert np.all((flashes >= 1.0 - 1e-3) & (flashes < 1.1)), flashes
    steps = np.diff([sound.pts for sound in heard.sounds])
    assert np.all(steps >= PACKET)
    assert np.count_nonzero(steps > 2 * PACKET) == 0, steps


def test_sound_comes_before_it_is_due(heard: Heard, tmp_path: Path) -> None:
    late: list[float] = []
    film(tmp_path / "a.mov", 2, apart=25)
    switch = SourceSwitch(
        heard.frames.append,
        lambda sound: late.append(time.monotonic() - sound.arrived),
        heard.ended.set,
    )
    switch.change(place(tmp_path / "a.mov"), loop=False)
    assert heard.ended.wait(PATIENCE)
    switch.close()
    assert len(late) >= 95
    assert np.median(late) < 0, late


def test_after_a_jump_and_after_another_source_they_are_still_together(
    heard: Heard, tmp_path: Path
) -> None:
    film(tmp_path / "a.mp4", 2.8)
    film(tmp_path / "b.mp4", 2, 32_000, "stereo")
    film_without_sound(tmp_path / "silent.mp4")
    heard.switch.change(place(tmp_path / "a.mp4"))
    heard.wait(1)
    heard.switch.source.seek(2.0)  # a mark at 2.4
    heard.wait(2)
    heard.switch.change(place(tmp_path / "silent.mp4"))
    assert not heard.switch.source.has_sound
    before = len(heard.frames)
    until(lambda: len(heard.frames) > before + 5)
    heard.switch.change(place(tmp_path / "b.mp4"), begin=0.5)
    heard.wait(4)
    heard.switch.close()
    offsets = heard.offsets()
    assert len(offsets) >= 4
    assert max(map(abs, offsets)) < ALLOWED, offsets
    times = [sound.pts for sound in heard.sounds]
    assert min(np.diff(times)) >= PACKET


def film_without_sound(path: Path) -> None:
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=25)
        video.width, video.height, video.pix_fmt = 64, 64, "yuv420p"
        for number in range(10):
            picture = av.VideoFrame.from_ndarray(np.full((96, 64), 16, np.uint8), format="yuv420p")
            picture.pts, picture.time_base = number, Fraction(1, 25)
            container.mux(video.encode(picture))
        container.mux(video.encode(None))


def test_a_gap_in_the_sound_is_one_and_another_rate_is_none() -> None:
    opus = OpusPackets()
    found = opus.encode(sound_frame(0, 44_100, 44_100), 0, 100)
    found += opus.encode(sound_frame(1, 32_000, 32_000, "stereo"), 1, 101)
    assert len(found) >= 98
    assert found[0].arrived == pytest.approx(100 - 312 / 48_000)  # Opus looks ahead by so much
    assert [s.pts * Fraction(1, 48_000) for s in found] == pytest.approx(
        [s.arrived for s in found], abs=1e-4
    )
    later = opus.encode(sound_frame(5, 44_100, 44_100), 5, 105)
    assert later[0].arrived == pytest.approx(105, abs=0.01)
    assert later[0].pts - found[-1].pts > 2.9 * 48_000


def test_rounded_times_make_no_gap_and_a_clock_that_drifts_is_followed() -> None:
    opus, found = OpusPackets(), []
    for number in range(500):
        at = number * 1024 / 44_100
        drifted = 100 + at * 1.001  # a tenth of a percent
        found += opus.encode(sound_frame(at, 1024, 44_100), round(at, 3), drifted)
    assert set(np.diff([each.pts for each in found])) == {PACKET}
    assert found[-1].arrived - found[0].arrived == pytest.approx(
        (len(found) - 1) * 0.02 * 1.001, abs=0.005
    )


@pytest.mark.parametrize(("rate", "layout"), [(4_000, "mono"), (400_000, "stereo")])
def test_sound_that_nobody_could_use_is_left_out(rate: int, layout: str) -> None:
    assert OpusPackets().encode(sound_frame(0, 4800, rate, layout), 0, 100) == []
