"""Recordings: what is in the file, also after a kill and on a full disk."""

import errno
import os
import signal
import stat
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.video.reformatter import ColorRange

from streams.errors import SinkError
from streams.sinks.recorder import Recorder
from streams.sinks.recording import Recording, recording_path

ROOT = Path(__file__).parents[2]


def picture(number: int, size: int = 64) -> av.VideoFrame:
    """Make noise, which no encoder can make small."""
    planes = np.random.default_rng(number).integers(16, 235, (size * 3 // 2, size), np.uint8)
    return av.VideoFrame.from_ndarray(planes, format="yuv420p")


def frames_of(path: Path) -> list[tuple[float, bool]]:
    """Give the time of each picture of a file, and whether it is a key frame."""
    with av.open(str(path)) as file:
        return [
            (float((frame.pts or 0) * (frame.time_base or Fraction(0))), frame.key_frame)
            for frame in file.decode(video=0)
        ]


def test_pictures_keep_their_times_and_key_frames_come_by_time(tmp_path: Path) -> None:
    recording = Recording(recording_path(tmp_path / "new"), 64, 64)
    times = [0, 0.25, 0.5, 0.8, 1.1, 1.2, 3.7, 3.8, 4.6, 4.75]  # a camera that paused
    for number, seconds in enumerate(times):
        recording.write(picture(number), seconds)
    recording.close()

    (path,) = (tmp_path / "new").iterdir()
    found = frames_of(path)
    assert [seconds for seconds, _ in found] == pytest.approx(times, abs=1e-4)
    assert [seconds for seconds, key in found if key] == pytest.approx([0, 1.1, 3.7, 4.75])
    assert recording.bytes == path.stat().st_size
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("offline", [False, True])
def test_a_file_says_which_colours_it_has(offline: bool, tmp_path: Path) -> None:
    """Players go by the size else, and show tall pictures greener."""
    path = tmp_path / "film.mp4"
    if offline:
        recorder = Recorder(path, Fraction(30))
        recorder.write(picture(0))
        recorder.close()
    else:
        recording = Recording(path, 64, 64)
        recording.write(picture(0), 0)
        recording.close()
    with av.open(str(path)) as file:
        frame, context = next(file.decode(video=0)), file.streams.video[0].codec_context
        assert (frame.colorspace, frame.color_range) == (6, ColorRange.MPEG)  # SMPTE 170M
        assert (context.color_primaries, context.color_trc) == (6, 6)


_KILLED = """
import os, signal, sys
from pathlib import Path
from streams.sinks.recording import Recording
from streams.soundtrack import SILENCE, Heard
from tests.streams.test_recording import picture
recording = Recording(Path(sys.argv[1]), 64, 64)
for number in range(95):
    recording.write(picture(number), number / 30)
    recording.hear(Heard(number / 30, SILENCE))
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_kill_leaves_a_file_that_plays_up_to_the_last_second(tmp_path: Path) -> None:
    path = tmp_path / "killed.mp4"
    ended = subprocess.run([sys.executable, "-c", _KILLED, str(path)], cwd=ROOT, timeout=60)
    assert ended.returncode == -signal.SIGKILL
    assert len(frames_of(path)) == 90


def test_a_full_disk_is_told_and_leaves_what_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, left = tmp_path / "full.mp4", 128 * 1024
    write = os.write

    def until_full(handle: int, data: bytes) -> int:
        nonlocal left
        if left == 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        written = write(handle, data[:left])
        left -= written
        return written

    monkeypatch.setattr("streams.sinks.recording.os.write", until_full)
    recording = Recording(path, 64, 64)

    def record() -> None:
        for number in range(300):
            recording.write(picture(number), number / 30)

    with pytest.raises(SinkError, match=r"full\.mp4: the disk is full; what was recorded until"):
        record()
    recording.close()
    assert len(frames_of(path)) % 30 == 0
    assert frames_of(path)


def test_a_folder_that_cannot_be_written_to_is_told(tmp_path: Path) -> None:
    in_the_way = tmp_path / "file"
    in_the_way.touch()
    with pytest.raises(SinkError, match=r"Not a directory|File exists"):
        Recording(in_the_way / "a.mp4", 64, 64)


def test_nothing_is_overwritten_and_no_link_followed(tmp_path: Path) -> None:
    target = tmp_path / "mine"
    link = tmp_path / "link.mp4"
    link.symlink_to(target)
    with pytest.raises(SinkError, match="File exists"):
        Recording(link, 64, 64)
    assert not target.exists()


def test_a_recording_without_a_picture_leaves_no_file(tmp_path: Path) -> None:
    Recording(tmp_path / "empty.mp4", 64, 64).close()
    assert list(tmp_path.iterdir()) == []
