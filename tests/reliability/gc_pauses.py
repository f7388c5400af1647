"""How long the garbage collector holds this process up, and `restyle serve` that tells of it."""

import gc
import os
import sys
import time
from collections.abc import Callable
from typing import Any, Self

_WORDS = "the garbage collector took"
_TOLD = 1.0  # milliseconds from which a pause is told


class GcPauses:
    """Notes the longest pause as long as the block runs; `hear` gets each, in milliseconds."""

    def __init__(self, hear: Callable[[float], None] = lambda ms: None) -> None:
        self.longest_ms = 0.0
        self._began, self._hear = 0.0, hear

    def __enter__(self) -> Self:
        gc.callbacks.append(self._note)
        return self

    def __exit__(self, *_: object) -> None:
        gc.callbacks.remove(self._note)

    def _note(self, phase: str, info: dict[str, Any]) -> None:
        if phase == "start":
            self._began = time.perf_counter()
            return
        ms = 1000 * (time.perf_counter() - self._began)
        self.longest_ms = max(self.longest_ms, ms)
        self._hear(ms)


def tell(ms: float) -> None:
    """Print a pause. Not by `print`: it may be in the midst of that when memory is collected."""
    if ms >= _TOLD:
        os.write(1, f"{_WORDS} {ms:.1f} ms\n".encode())


def told(lines: list[str]) -> float:
    """Give the longest pause, in milliseconds, that a server told of; 0: none of one or more."""
    found = [line.split(_WORDS)[1].split()[0] for line in lines if _WORDS in line]
    return max(map(float, found), default=0.0)


if __name__ == "__main__":
    # here, as each child of the server imports this module
    from server import __main__

    with GcPauses(tell):
        sys.exit(__main__.main(sys.argv[1:]))
