"""The other side of engine_process.py: what runs in the process that holds the engine."""

import math
import os
import resource
import signal
import threading
from collections.abc import Callable
from multiprocessing import parent_process
from multiprocessing.connection import Connection
from multiprocessing.shared_memory import SharedMemory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.config import EngineConfig
from streams.protocol import Result, Stylizer

Progress = Callable[[str], None]
Bytes = NDArray[np.uint8]
Build = Callable[[Progress], Stylizer]
RESULTS = 8  # finished frames that cross in one reply
_LARGEST = 1024 * 1024  # pixels; memory that no picture reaches is never touched
_MOST_STEPS = 8
# After these the device's state or the free memory cannot be trusted: only a new process has them
# anew. By name, as torch is not known here.
_FATAL = ("OutOfMemoryError", "MemoryError", "AcceleratorError")


def run(build: Build, calls: Connection, prompts: Connection, sizes: Connection) -> None:
    """Build the engine and answer calls until the pipe closes or the parent is gone."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # one would hold pictures and prompts
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C: the parent ends this process
    threading.Thread(target=_die_with_parent, daemon=True).start()
    try:
        engine = build(lambda step: calls.send(("progress", step)))
    except Exception as error:  # noqa: BLE001  # told to the parent
        calls.send(("failed", _portable(error)))
        return
    calls.send(("built", (engine.config, engine.info)))
    memory = SharedMemory(calls.recv())
    calls.send(("attached", None))
    for prepare, asked in ((engine.prepare, prompts), (engine.prepare_size, sizes)):
        threading.Thread(target=_prepare, args=(prepare, asked), daemon=True).start()
    _Desk(engine, memory).serve(calls)
    os._exit(0)  # views of the memory are still held: an orderly end would complain


class _Desk:
    """Answers calls one by one, each with what the parent must know of the engine after it."""

    def __init__(self, engine: Stylizer, memory: SharedMemory) -> None:
        self._engine = engine
        self._open: set[str] = set()
        self._held: list[Result] = []  # finished, but there was no room in the last reply
        self._pictures = np.ndarray(
            (1 + RESULTS, picture_bytes(engine.config)), np.uint8, memory.buf
        )

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

    def _submit(self, session: str, number: int, shape: tuple[int, ...], *rest: Any) -> None:
        # a copy: the engine keeps pictures for the motion between frames
        self._engine.submit(session, number, view(self._pictures[0], shape).copy(), *rest)

    def _tick(self) -> list[tuple[str, int, dict[str, float], bool, tuple[int, ...]]]:
        if not self._held:
            self._held = list(self._engine.tick())
        now, self._held = self._held[:RESULTS], self._held[RESULTS:]
        for place, result in enumerate(now, start=1):
            view(self._pictures[place], result.image.shape)[:] = result.image
        return [(r.session, r.number, r.stages_ms, r.skipped, r.image.shape) for r in now]


def picture_bytes(config: EngineConfig) -> int:
    """Give the bytes that the largest picture takes."""
    return 3 * max(config.width * config.height, _LARGEST)


def view(room: Bytes, shape: tuple[int, ...]) -> Bytes:
    """Give the picture of a shape at the beginning of its room."""
    return room[: math.prod(shape)].reshape(shape)


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
