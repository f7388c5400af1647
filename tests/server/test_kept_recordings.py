"""Recordings that are too old are removed, and nothing else."""

import asyncio
import os
import time
from pathlib import Path

import pytest

from server.kept_recordings import remove_old, remove_once
from streams.sinks.recording import recording_path
from tests.server.conftest import Serve
from tests.streams.waiting import eventually

_DAY = 86400.0


def aged(path: Path, days: float) -> Path:
    """Make a file that was last written so many days ago."""
    path.write_bytes(b"film")
    then = time.time() - days * _DAY
    os.utime(path, (then, then))
    return path


def test_old_recordings_go_and_all_else_stays(tmp_path: Path) -> None:
    folder, elsewhere = tmp_path / "films", tmp_path / "elsewhere"
    deeper = folder / "restyle-20250101-120000-abcdef.mp4"  # a folder of such a name
    deeper.mkdir(parents=True)
    elsewhere.mkdir()
    old = [aged(recording_path(folder), days) for days in (7.1, 400)]
    target = aged(recording_path(elsewhere), 400)
    link = recording_path(folder)
    link.symlink_to(target)
    os.utime(link, (0, 0), follow_symlinks=False)
    young = aged(recording_path(folder), 6.9)
    others = [
        aged(folder / name, 400)
        for name in ("holiday.mp4", "restyle.mp4", "restyle-20250101-120000-abcdef.mp4.bak",
                     "restyle-20250101-120000-abcdeg.mp4", "my-restyle-20250101-120000-abcdef.mp4")
    ]  # fmt: skip
    inner = aged(recording_path(deeper), 400)

    assert remove_once(folder, 7) == 2
    assert not any(path.exists() for path in old)
    assert all(path.exists() for path in (young, *others, deeper, inner, target))
    assert link.is_symlink()


def test_a_folder_that_is_not_there_and_a_file_that_cannot_go_are_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert remove_once(tmp_path / "none", 1) == 0
    aged(recording_path(tmp_path), 2)

    def refuse(path: Path, missing_ok: bool = False) -> None:
        raise PermissionError

    monkeypatch.setattr(Path, "unlink", refuse)
    assert remove_once(tmp_path, 1) == 0


async def test_it_is_looked_again_and_again(tmp_path: Path) -> None:
    looking = asyncio.create_task(remove_old(tmp_path, 1, every=0.05))
    for _ in range(2):
        path = aged(recording_path(tmp_path), 2)
        await eventually(lambda path=path: not path.exists())  # type: ignore[misc]
    looking.cancel()
    await asyncio.gather(looking, return_exceptions=True)


@pytest.mark.parametrize(("days", "left"), [(0, True), (3, False)])
async def test_a_server_keeps_recordings_for_ever_or_for_so_many_days(
    days: int, left: bool, serve: Serve, tmp_path: Path
) -> None:
    path = aged(recording_path(tmp_path), 5)
    async with serve(recordings=tmp_path, recordings_days=days):
        if left:
            await asyncio.sleep(0.3)
            assert path.exists()
        else:
            await eventually(lambda: not path.exists())
