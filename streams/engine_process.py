"""The engine in a process of its own, with a guardian: what dies there comes back by itself.

    engine = EngineProcess(build)        # build is picklable: it runs in the child
    worker = Worker(engine.start)
    ...
    engine.end()

Calls cross a pipe one at a time, pictures cross in shared memory. The memory loses its name as soon
as both sides hold it, so no way of dying leaves it behind.
"""

import logging
import multiprocessing
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from multiprocessing.shared_memory import SharedMemory
from typing import Any

import numpy as np

from pipeline.config import EngineConfig, Size
from pipeline.engine import EngineInfo, EngineResult
from pipeline.params import StyleParams
from streams import engine_child
from streams.engine_child import RESULTS, Build, Bytes, Progress, picture_bytes, view
from streams.errors import EngineAway
from streams.protocol import EngineState, Image, Result

logger = logging.getLogger(__name__)
_LEAST_DEADLINE = 2.0  # seconds that any call gets
_FRAMES_PER_CALL = 20  # a call that takes as long as this many frames hangs
_LOAD = 120.0  # seconds that a restart gets
_WITHIN = 60.0  # seconds in which so many restarts are allowed and no more


class EngineProcess:
    """A `Stylizer` whose engine lives in a child; one thread drives it, any may `prepare`.

    While the engine is away every call raises EngineAway. After a loss `in_flight` counts at least
    one until `tick` has raised once, so that the driver learns that its sessions are gone.
    """

    config: EngineConfig

    def __init__(
        self, build: Build, progress: Progress = lambda step: None, restarts: int = 3
    ) -> None:
        self.state: EngineState = "running"
        self._build, self._progress = build, progress
        self._child: _Child | None = None
        self._coming: _Child | None = None  # the newest, perhaps still loading
        self._threads: list[threading.Thread] = []
        self._untold = False  # a loss that `tick` has still to raise
        self._in_flight = 0
        self._wants: dict[str, int] = {}
        self._sizes: dict[str, Size] = {}  # that sessions have: a new child prepares them, too
        self._restarts: deque[float] = deque(maxlen=restarts)
        self._lock = threading.Lock()  # of the state and the child
        self._ended = False

    def start(self) -> "EngineProcess":
        """Start the child and wait for its engine. Raises what `build` raised."""
        child = self._coming = _Child(self._build)
        child.load(self._progress, None)
        self._child = child
        self.config = child.config
        self._watch(child)
        return self

    def end(self) -> None:
        """End the child; its memory goes with it."""
        with self._lock:
            self._ended = True
            self._child, child = None, self._coming
        if child is not None:
            child.kill()
        for thread in self._threads:
            thread.join()

    @property
    def info(self) -> EngineInfo:
        """Describe the engine."""
        return self._present().info

    @property
    def in_flight(self) -> int:
        """How many frames `tick` has still to give back."""
        return max(self._in_flight, self._untold)

    def prepare(self, params: StyleParams) -> str | None:
        """Encode prompts ahead; without an engine there is nothing to say of them."""
        child = self._child
        if child is None:
            return None
        try:
            hint: str | None = child.prepare(params)
        except EngineAway:
            return None
        return hint

    def prepare_size(self, session: str, size: Size) -> None:
        """Make a size ready; a child that comes later has it too."""
        self._present().prepare_size(session, size)
        self._sizes[session] = size

    def open(self, session: str) -> None:
        """Make room for a session."""
        self._call("begin", session)

    def close(self, session: str) -> None:
        """Drop a session; one that was lost with its engine is dropped already."""
        sized = self._sizes.pop(session, None) is not None
        if sized or session in self._wants:
            self._call("end", session)

    def wants(self, session: str, steps: int = 1) -> bool:
        """Say whether a frame may be submitted: as of the last call, without asking the child."""
        return self._untold or bool(self._wants.get(session, 0) >> steps & 1)

    def submit(
        self,
        session: str,
        number: int,
        image: Image,
        params: StyleParams,
        arrived: float | None = None,
    ) -> None:
        """Admit a frame. Raises ValueError for what is no picture or a too large one."""
        most = picture_bytes(self.config)
        if image.ndim != 3 or image.dtype != np.uint8 or image.size > most:
            raise ValueError(
                f"picture {image.shape} of {image.dtype}: give (height, width, 3) of uint8, "
                f"at most {most} bytes"
            )
        view(self._present().pictures[0], image.shape)[:] = image
        self._call("submit", session, number, image.shape, params, arrived)

    def tick(self) -> Sequence[Result]:
        """Run one network call; give finished frames."""
        if self._untold:
            self._untold = False
            raise EngineAway("the engine was lost")
        try:
            finished = self._call("tick")
        except EngineAway:
            self._untold = False
            raise
        pictures = self._present().pictures
        return [
            EngineResult(session, number, view(pictures[place], shape).copy(), stages, skipped)
            for place, (session, number, stages, skipped, shape) in enumerate(finished, start=1)
        ]

    def _present(self) -> "_Child":
        if self._untold or self._child is None:
            raise EngineAway("the engine is away")
        return self._child

    def _call(self, name: str, *given: Any) -> Any:
        child = self._present()
        try:
            kind, value, self._in_flight, self._wants = child.ask(name, given)
        except EngineAway:
            self._lose(child)
            raise
        if kind == "failed":
            raise value
        return value

    def _watch(self, child: "_Child") -> None:
        """Notice a death between calls too."""

        def look() -> None:
            wait([child.process.sentinel])
            self._lose(child)

        self._begin(look, "guardian")

    def _begin(self, work: Callable[[], None], name: str) -> None:
        thread = threading.Thread(target=work, name=name, daemon=True)
        thread.start()
        self._threads = [t for t in self._threads if t.is_alive()] + [thread]

    def _lose(self, child: "_Child") -> None:
        """Give up a child; begin a restart unless there were too many."""
        with self._lock:
            if self._ended or self._child is not child:
                return
            self._child, self._untold = None, True
            self._in_flight, self._wants = 0, {}
            now = time.monotonic()
            tired = (
                len(self._restarts) == self._restarts.maxlen and now - self._restarts[0] < _WITHIN
            )
            self.state = "failed" if tired else "restarting"
            self._restarts.append(now)
        logger.error("the engine process was lost: %s", self.state)
        child.kill()
        if not tired:
            self._begin(self._restart, "engine restart")

    def _restart(self) -> None:
        with self._lock:
            if self._ended:
                return
            child = self._coming = _Child(self._build)
        try:
            child.load(self._progress, _LOAD)
            for session, size in self._sizes.copy().items():
                child.prepare_size(session, size)
        except Exception:
            if not self._ended:
                logger.exception("the engine could not be built again")
            self.state = "failed"
            return
        with self._lock:
            if not self._ended:
                self._child, self.state = child, "running"
        if self._ended:
            child.kill()
        else:
            self._watch(child)


class _Child:
    """One process, its pipes and its memory."""

    def __init__(self, build: Build) -> None:
        spawn = multiprocessing.get_context("spawn")
        self._calls, calls = spawn.Pipe()
        self._prompts, prompts = spawn.Pipe()
        self._sizes, sizes = spawn.Pipe()
        self._asking = {pipe: threading.Lock() for pipe in (self._prompts, self._sizes)}
        self.process: BaseProcess = spawn.Process(
            target=engine_child.run, args=(build, calls, prompts, sizes), name="engine", daemon=True
        )
        self.process.start()
        for pipe in (calls, prompts, sizes):
            pipe.close()

    def load(self, progress: Progress, load: float | None) -> None:
        """Wait for the engine. Raises what its build raised; the process is gone then."""
        try:
            self.config, self.info = self._built(progress, load)
            self._per_frame = _FRAMES_PER_CALL * self.info.ms_per_frame / 1e3
            self._deadline = max(_LEAST_DEADLINE, self._per_frame)
            self.pictures = self._share()
        except BaseException:
            self.kill()
            raise

    def ask(self, name: str, given: tuple[Any, ...]) -> Any:
        """Call; give the answer. Raises EngineAway for a dead or hanging child."""
        return self._exchange(self._calls, (name, given), self._deadline)

    def prepare(self, params: StyleParams) -> Any:
        """Encode prompts beside the calls."""
        return self._beside(self._prompts, (params,), 5 * self._deadline)

    def prepare_size(self, session: str, size: Size) -> None:
        """Make a size ready beside the calls."""
        self._beside(self._sizes, (session, size), _LOAD)
        larger = size[0] * size[1] / (self.config.width * self.config.height)
        self._deadline = max(self._deadline, self._per_frame * larger)

    def _beside(self, pipe: Connection, given: tuple[Any, ...], deadline: float) -> Any:
        with self._asking[pipe]:
            kind, value = self._exchange(pipe, given, deadline)
        if kind == "failed":
            raise value
        return value

    def kill(self) -> None:
        """End the process now and wait for it."""
        self.process.kill()
        self.process.join()

    def _built(self, progress: Progress, load: float | None) -> tuple[EngineConfig, EngineInfo]:
        while True:
            kind, value = self._receive(self._calls, load)
            if kind == "failed":
                raise value
            if kind == "built":
                config, info = value
                return config, info
            progress(value)

    def _share(self) -> Bytes:
        shape = (1 + RESULTS, picture_bytes(self.config))
        memory = SharedMemory(create=True, size=int(np.prod(shape)))
        try:
            self._exchange(self._calls, memory.name, 10 * _LEAST_DEADLINE)
        finally:
            memory.unlink()  # both hold it by now: the name is not needed any more
        self._memory = memory  # unmapped with the last view
        return np.ndarray(shape, np.uint8, memory.buf)

    def _exchange(self, pipe: Connection, message: Any, deadline: float) -> Any:
        try:
            pipe.send(message)
        except OSError as error:
            raise EngineAway("the engine process is gone") from error
        return self._receive(pipe, deadline)

    def _receive(self, pipe: Connection, deadline: float | None) -> Any:
        try:
            if not pipe.poll(deadline):
                raise EngineAway(f"the engine gave no answer for {deadline:.1f} s")
            return pipe.recv()
        except (EOFError, OSError) as error:
            raise EngineAway("the engine process is gone") from error
