"""Keeps a child with an engine alive: one that dies or hangs is replaced, so often a minute."""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from multiprocessing.connection import wait

from streams import engine_handle
from streams.engine_child import Build, Progress
from streams.engine_handle import Child
from streams.errors import EngineAway
from streams.protocol import EngineState

logger = logging.getLogger(__name__)
_LOAD, _AS_BEFORE = 120.0, 3  # seconds that a restart gets, or so many times the first load
_WITHIN = 60.0  # seconds in which so many restarts are allowed and no more


class Guardian:
    """Holds the child of the moment; any thread may ask for it, give it up or revive it."""

    def __init__(
        self, build: Build, progress: Progress, restarts: int, furnish: Callable[[Child], None]
    ) -> None:
        """`furnish` gives a child that takes another's place what that one had."""
        self.state: EngineState = "running"
        self.losses = 0
        self.child: Child | None = None  # None: it is away
        self._build, self._progress, self._furnish = build, progress, furnish
        self._coming: Child | None = None  # the newest, perhaps still loading
        self._threads: list[threading.Thread] = []
        self._restarts: deque[float] = deque(maxlen=restarts)
        self._load = _LOAD
        self._lock = threading.Lock()  # of the state, the children and the threads
        self._ended = False

    def start(self) -> Child:
        """Start the child and wait for its engine. Raises what its build raised.

        One that dies while it loads is started again, as often as any other.
        """
        began = time.monotonic()
        while True:
            child = self._spawn()
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
        self.child = child
        self._watch(child)
        return child

    def end(self) -> None:
        """End the child; its memory goes with it."""
        with self._lock:
            self._ended = True
            self.child, child = None, self._coming
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

    def present(self) -> Child:
        """Give the child. Raises EngineAway while there is none."""
        child = self.child
        if child is None:
            raise EngineAway("the engine is away")
        return child

    def lose(self, child: Child) -> None:
        """Give up a child; begin a restart unless there were too many."""
        with self._lock:
            if self._ended or self.child is not child:
                return
            self.child = None
            self.losses += 1
            again = self._note_restart()
        logger.error("the engine process was lost: %s", self.state)
        child.kill()
        if again:
            self._begin(self._restart, "engine restart")

    def _spawn(self) -> Child:
        """Start a process. Raises EngineAway once `end` was called, OSError."""
        with self._lock:  # so that `end` waits for it, and kills it
            if self._ended:
                raise EngineAway("the engine has ended")
            child = self._coming = Child(self._build)
        return child

    def _watch(self, child: Child) -> None:
        """Notice a death between calls too, and a child that hangs while nobody calls."""

        def look() -> None:
            while not wait([child.process.sentinel], engine_handle.HEARTBEAT):
                if not child.answers():
                    logger.error("the engine does not answer while nothing is asked of it")
                    break
            self.lose(child)

        self._begin(look, "guardian")

    def _begin(self, work: Callable[[], None], name: str) -> None:
        thread = threading.Thread(target=work, name=name, daemon=True)
        thread.start()
        with self._lock:
            self._threads = [t for t in self._threads if t.is_alive()] + [thread]

    def _note_restart(self) -> bool:
        """Say whether one more restart is allowed, and count it. Needs the lock."""
        now, most = time.monotonic(), self._restarts.maxlen
        tired = len(self._restarts) == most and now - self._restarts[0] < _WITHIN
        self.state = "failed" if tired else "restarting"
        if not tired:
            self._restarts.append(now)
        return not tired

    def _restart(self) -> None:
        while (child := self._replacement()) is None:
            with self._lock:
                if self._ended or not self._note_restart():
                    return
        with self._lock:
            if not self._ended:
                self.child, self.state = child, "running"
        if self._ended:
            child.kill()
        else:
            self._watch(child)

    def _replacement(self) -> Child | None:
        """Give a child that is ready to serve; None if that failed."""
        child = None
        try:
            child = self._spawn()
            child.load(self._progress, self._load)
            self._furnish(child)
        except Exception:
            if not self._ended:
                logger.exception("the engine could not be built again")
            if child is not None:
                child.kill()
            return None
        return child
