"""Old recordings: after so many days they are removed, off the loop, and nothing else is."""

import asyncio
import logging
import re
import time
from pathlib import Path

from server.aside import aside

logger = logging.getLogger(__name__)

_EVERY = 3600.0  # seconds
_DAY = 86400.0
# what streams/sinks/recording.py names them
_OWN = re.compile(r"restyle-[0-9]{8}-[0-9]{6}-[0-9a-f]{6}\.mp4")


async def remove_old(folder: Path, days: int, every: float = _EVERY) -> None:
    """Remove what is older than that now and each hour, until cancelled."""
    while True:
        removed = await aside(remove_once, folder, days)
        if removed:
            logger.info("%d recordings were older than %d days and are removed", removed, days)
        await asyncio.sleep(every)


def remove_once(folder: Path, days: int) -> int:
    """Remove recordings that nobody has written to for so many days; count them. Blocks.

    Only plain files in the folder itself whose names are those of recordings; no link is followed.
    """
    removed, before = 0, time.time() - days * _DAY
    try:
        paths = [path for path in folder.iterdir() if _OWN.fullmatch(path.name)]
    except OSError:  # there is none yet, or it is a disk that is away
        return 0
    for path in paths:
        try:
            if _is_old_file(path, before):
                path.unlink()
                removed += 1
        except OSError as error:
            logger.warning("an old recording stays: %s", type(error).__name__)
    return removed


def _is_old_file(path: Path, before: float) -> bool:
    return path.is_file() and not path.is_symlink() and path.lstat().st_mtime < before
