"""The other side of engine_process.py: what runs in the process that holds the engine."""

import gc
import os
import resource
import shutil
import sys
import threading
from collections.abc import Callable
from multiprocessing import parent_process
from multiprocessing.connection import Connection
from multiprocessing.shared_memory import SharedMemory
from pathlib import Path
from typing import Any

from pipeline.config import EngineConfig
from streams import signals
from streams.lent_pictures import Places, bytes_of, count_of
from streams.protocol import Result, Stylizer

Progress = Callable[[str], None]
Build = Callable[[Progress], Stylizer]
_PLACES = 16  # each way: pictures that the engine holds, and finished ones that the server does
_LARGEST = 1024 * 1024  # pixels
_SHARED = Path("/dev/shm")  # nosec B108 - only its size is asked
_MOST_STEPS = 8
# what a reply tells of a finished frame: its place and shape last
Finished = tuple[str, int, dict[str, float], bool, int, tuple[int, ...]]
# After these the device's state or the free memory cannot be trusted: only a new process has them
# anew. By name, as torch is not known here.
_FATAL = ("OutOfMemoryError", "MemoryError", "AcceleratorError")


def run(build: Build, calls: Connection, prompts: Connection, sizes: Connection) -> None:
    """Build the engine and answer calls until the pipe closes or the parent is gone."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # one would hold pictures and prompts
    signals.leave_to_the_parent()
    threading.Thread(target=_die_with_parent, daemon=True).start()
    try:
        engine = build(lambda step: calls.send(("progress", step)))
    except Exception as error:  # noqa: BLE001  # told to the parent
        calls.send(("failed", _portable(error)))
        return
    calls.send(("built", (engine.config, engine.info)))
    memory = SharedMemory(calls.recv())
    calls.send(("attached", None))
    gc.collect()
    gc.freeze()  # of what is loaded nothing goes any more: collections need not look through it
    for prepare, asked in ((engine.prepare, prompts), (engine.prepare_size, sizes)):
        threading.Thread(target=_prepare, args=(prepare, asked), daemon=True).start()
    _Desk(engine, *halves(memory, engine.config)).serve(calls)
    os._exit(0)  # threads of the engine may still be at work


class _Desk:
    """Answers calls one by one, each with what the parent must know of the engine after it."""

    def __init__(self, engine: Stylizer, come: Places, go: Places) -> None:
        self._engine = engine
        self._come, self._go = come, go
        self._open: set[str] = set()
        self._held: list[Result] = []  # finished, but there was no room in the last reply

    def serve(self, calls: Connection) -> None:
        while True:
            try:
                name, given = calls.recv()
            except (EOFError, OSError):
                return
            try:
                answer = ("done", getattr(self, f"_{name}")(*given))
            except Exception as error:  # noqa: BLE001  # told to the parent
                if type(error).__name__ in _FATAL:
                    calls.send(("fatal", type(error).__name__, 0, {}))
                    return
                answer = ("failed", _portable(error))
            calls.send((*answer, *self._look()))

    def _look(self) -> tuple[int, dict[str, int]]:
        """Count frames in flight; give for each session the steps it wants a frame at, as bits."""
        wants = {
            session: sum(
                self._engine.wants(session, steps) << steps for steps in range(1, _MOST_STEPS + 1)
            )
            for session in self._open
        }
        return self._engine.in_flight + len(self._held), wants

    def _ping(self) -> None:
        """Do nothing: that there is an answer says it all."""

    def _begin(self, session: str) -> None:
        self._engine.open(session)
        self._open.add(session)

    def _end(self, session: str) -> None:
        self._drop(session)
        self._engine.close(session)

    def _drop(self, session: str) -> None:
        self._engine.drop(session)
        self._open.discard(session)
        self._held = [result for result in self._held if result.session != session]

    def _submit(
        self, session: str, number: int, place: int, shape: tuple[int, ...], *rest: Any
    ) -> None:
        # the engine keeps pictures for the motion between frames: the place is taken that long
        self._engine.submit(session, number, self._come.read(place, shape), *rest)

    def _tick(self) -> list[Finished]:
        if not self._held:
            self._held = list(self._engine.tick())
        told: list[Finished] = []
        for r in self._held:
            place = self._go.write(r.image)
            told.append((r.session, r.number, r.stages_ms, r.skipped, place, r.image.shape))
            if not place:  # it serves once a reply
                break
        self._held = self._held[len(told) :]
        return told


def picture_bytes(config: EngineConfig) -> int:
    """Give the bytes that the largest picture takes."""
    return 3 * max(config.width * config.height, _LARGEST)


def memory_bytes(config: EngineConfig) -> int:
    """Give the bytes that pictures on their way take; what none reaches is never touched.

    At most half of what is free where Linux has such memory, which is little in a container:
    whoever touched more would be killed. With fewer places more is copied.
    """
    largest = picture_bytes(config)
    free = shutil.disk_usage(_SHARED).free if _SHARED.is_dir() else sys.maxsize
    return 2 * bytes_of(max(0, min(_PLACES, free // (4 * largest) - 1)), largest)


def halves(memory: SharedMemory, config: EngineConfig) -> tuple[Places, Places]:
    """Give the places for what goes into an engine, and for what comes out of it."""
    largest = picture_bytes(config)
    count = count_of(memory.size // 2, largest)
    return Places(memory, 0, count, largest), Places(memory, 1, count, largest)


def _prepare(prepare: Callable[..., Any], aside: Connection) -> None:
    while True:
        try:
            number, given = aside.recv()
        except (EOFError, OSError):
            return
        try:
            answer: tuple[str, Any] = ("done", prepare(*given))
        except Exception as error:  # noqa: BLE001  # told to the parent
            answer = ("failed", _portable(error))
        aside.send((number, answer))


def _die_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _portable(error: Exception) -> Exception:
    """Give an exception that surely survives the pipe."""
    if type(error).__module__.startswith(("pipeline.", "builtins")) and len(error.args) <= 1:
        return error
    return RuntimeError(f"{type(error).__name__}: {error}")
