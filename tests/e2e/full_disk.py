"""The light server, whose recordings find the disk full after some bytes."""

import errno
import os
import runpy

from streams.sinks import recording
from tests.e2e.serving import LIGHT

ROOM = 100_000  # bytes, of all recordings together


class _Filling(recording._File):
    left = ROOM

    def write(self, data: bytes) -> int:
        if len(data) > _Filling.left:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        _Filling.left -= len(data)
        return super().write(data)


if __name__ == "__main__":
    vars(recording)["_File"] = _Filling
    runpy.run_module(LIGHT, run_name="__main__")
