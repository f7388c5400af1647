"""The engine in a process of its own, with a guardian: what dies there comes back by itself.

    engine = EngineProcess(build)        # build is picklable: it runs in the child
    worker = Worker(engine.start)
    ...
    engine.end()

Calls cross a pipe one at a time, pictures cross in shared memory. The memory loses its name as soon
as both sides hold it, so no way of dying leaves it behind.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from multiprocessing.connection import wait
from typing import Any

import numpy as np

from pipeline.config import EngineConfig, Size
from pipeline.params import StyleParams
from pipeline.results import EngineInfo, EngineResult
from streams import engine_handle
from streams.engine_child import Build, Progress, picture_bytes, view
from streams.engine_handle import Child
from streams.errors import EngineAway
from streams.protocol import EngineState, Image, Result

logger = logging.getLogger(__name__)
_LOAD, _AS_BEFORE = 120.0, 3  # seconds that a restart gets, or so many times the first load
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
        self._child: Child | None = None
        self._coming: Child | None = None  # the newest, perhaps still loading
        self._threads: list[threading.Thread] = []
        self._untold = False  # a loss that `tick` has still to raise
        self._in_flight = 0
        self._wants: dict[str, int] = {}
        self._sizes: dict[str, Size] = {}  # that sessions have: a new child prepares them, too
        self._restarts: deque[float] = deque(maxlen=restarts)
        self._load = _LOAD
        self.losses = 0
        self._lock = threading.Lock()  # of the state and the child
        self._ended = False

    def start(self) -> "EngineProcess":
        """Start the child and wait for its engine. Raises what `build` raised.

        One that dies while it loads is started again, as often as any other.
        """
        began = time.monotonic()
        while True:
            child = self._coming = Child(self._build)
            try:
                child.load(self._progress, None)
                break
            except EngineAway:
                with self._lock:
                    if self._ended or not self._note_restart():
                        raise
                logger.error("the engine's process died while it was loading")
        self.state = "running"
        self._load = max(_LOAD, _AS_BEFORE * (time.monotonic() - began))
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
        while alive := [thread for thread in self._threads if thread.is_alive()]:
            for thread in alive:  # one that restarts may begin another before it ends
                thread.join()

    def revive(self) -> None:
        """Start once more after too many losses; without effect in any other state."""
        with self._lock:
            if self.state != "failed" or self._ended:
                return
            self._restarts.clear()
            self._note_restart()
        self._begin(self._restart, "engine restart")

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
        child, before = self._present(), self._sizes.get(session)
        self._sizes[session] = size  # first: a session that ends meanwhile takes it away
        try:
            child.prepare_size(session, size)
        except BaseException:
            if before is None:
                self._sizes.pop(session, None)
            else:
                self._sizes[session] = before
            raise

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

    def _prepare_sizes(self, child: Child) -> None:
        """Make ready in a new child what sessions have. Raises EngineAway."""
        for session, size in self._sizes.copy().items():
            try:
                child.prepare_size(session, size)
            except EngineAway:
                raise
            except Exception:  # its frames pass untouched; everybody else's do not
                logger.exception("session %s: its size could not be made ready again", session)

    def _present(self) -> Child:
        if self._untold or self._child is None:
            raise EngineAway("the engine is away")
        return self._child

    def _call(self, name: str, *given: Any) -> Any:
        child = self._present()
        try:
            kind, value, self._in_flight, self._wants = child.ask(name, given)
        except EngineAway as error:
            logger.error("%s: %s", name, error)
            self._lose(child)
            raise
        if kind == "failed":
            raise value
        return value

    def _watch(self, child: Child) -> None:
        """Notice a death between calls too, and a child that hangs while nobody calls."""

        def look() -> None:
            while not wait([child.process.sentinel], engine_handle.HEARTBEAT):
                if not child.answers():
                    logger.error("the engine does not answer while nothing is asked of it")
                    break
            self._lose(child)

        self._begin(look, "guardian")

    def _begin(self, work: Callable[[], None], name: str) -> None:
        thread = threading.Thread(target=work, name=name, daemon=True)
        thread.start()
        self._threads = [t for t in self._threads if t.is_alive()] + [thread]

    def _lose(self, child: Child) -> None:
        """Give up a child; begin a restart unless there were too many."""
        with self._lock:
            if self._ended or self._child is not child:
                return
            self._child, self._untold = None, True
            self.losses += 1
            self._in_flight, self._wants = 0, {}
            again = self._note_restart()
        logger.error("the engine process was lost: %s", self.state)
        child.kill()
        if again:
            self._begin(self._restart, "engine restart")

    def _note_restart(self) -> bool:
        """Say whether one more restart is allowed, and count it. Needs the lock."""
        now, most = time.monotonic(), self._restarts.maxlen
        tired = len(self._restarts) == most and now - self._restarts[0] < _WITHIN
        self.state = "failed" if tired else "restarting"
        if not tired:
            self._restarts.append(now)
        return not tired

    def _restart(self) -> None:
        while True:
            with self._lock:
                if self._ended:
                    return
                child = self._coming = Child(self._build)
            try:
                child.load(self._progress, self._load)
                self._prepare_sizes(child)
                break
            except Exception:
                with self._lock:
                    if self._ended or not self._note_restart():
                        logger.exception("the engine could not be built again: %s", self.state)
                        return
                logger.exception("the engine could not be built again: %s", self.state)
        with self._lock:
            if not self._ended:
                self._child, self.state = child, "running"
        if self._ended:
            child.kill()
        else:
            self._watch(child)
