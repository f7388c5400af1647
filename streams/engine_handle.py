"""One process that holds an engine, as its guardian holds it: pipes, deadlines, shared memory."""

import math
import multiprocessing
import threading
import time
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from multiprocessing.shared_memory import SharedMemory
from typing import Any

from pipeline.config import EngineConfig, Size
from pipeline.params import StyleParams
from pipeline.results import EngineInfo
from streams import engine_child
from streams.engine_child import Build, Progress, halves, memory_bytes
from streams.errors import EngineAway
from streams.given_time import arrives

_LEAST_DEADLINE = 2.0  # seconds that any call gets
_FRAMES_PER_CALL = 20  # a call that takes as long as this many frames hangs
_SIZE = 120.0  # seconds in which another size must be ready
HEARTBEAT = 3.0  # seconds of silence after which a child is asked whether it lives
_FIRST_CALLS, _PATIENCE = 32, 10  # the first calls may load kernels: they get so many times more


class Child:
    """One process, its pipes and its memory."""

    def __init__(self, build: Build) -> None:
        spawn = multiprocessing.get_context("spawn")
        self._calls, calls = spawn.Pipe()
        self._prompts, prompts = spawn.Pipe()
        self._sizes, sizes = spawn.Pipe()
        self._asking = {pipe: threading.Lock() for pipe in (self._prompts, self._sizes)}
        self._one = threading.Lock()  # calls cross their pipe one at a time
        self._heard = math.inf  # time.monotonic() at which it last answered a call
        self._asked = 0
        self._number = 0  # of what was asked beside the calls
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
            self.go, self.come = halves(self._share(), self.config)
            self._heard = time.monotonic()
        except BaseException:
            self.kill()
            raise

    def ask(self, name: str, given: tuple[Any, ...]) -> Any:
        """Call; give the answer. Raises EngineAway for a dead or hanging child."""
        with self._one:
            first = self._asked < _FIRST_CALLS
            self._asked += 1
            deadline = self._deadline * (_PATIENCE if first else 1)
            answer = self._answered((name, given), deadline)
            self._heard = time.monotonic()
        if answer[0] == "fatal":
            raise EngineAway(f"the engine's process ended itself: {answer[1]}")
        return answer

    def answers(self) -> bool:
        """Say whether it lives: one that was quiet is asked, one that is at work is believed.

        From any thread; waits as long as a call may take. Work has deadlines of its own.
        """
        if self._at_work or time.monotonic() - self._heard < HEARTBEAT:
            return True
        if not self._one.acquire(blocking=False):
            return True
        try:
            self._exchange(self._calls, ("ping", ()), self._deadline)
            self._heard = time.monotonic()
        except EngineAway:
            return False
        finally:
            self._one.release()
        return True

    def prepare(self, params: StyleParams) -> Any:
        """Encode prompts beside the calls."""
        return self._beside(self._prompts, (params,), 5 * self._deadline)

    def prepare_size(self, session: str, size: Size) -> None:
        """Make a size ready beside the calls."""
        self._beside(self._sizes, (session, size), _SIZE)
        larger = size[0] * size[1] / (self.config.width * self.config.height)
        self._deadline = max(self._deadline, self._per_frame * larger)

    @property
    def _at_work(self) -> bool:
        """Say whether it makes something ready beside the calls."""
        return any(lock.locked() for lock in self._asking.values())

    def _answered(self, message: Any, deadline: float) -> Any:
        """Call; with patience beside other work, which may hold up all that a process does."""
        at_work = self._at_work
        self._send(self._calls, message)
        if not arrives(self._calls, deadline) and (at_work or self._at_work):
            deadline *= _PATIENCE
            arrives(self._calls, deadline)
        return self._receive(self._calls, 0.0, deadline)

    def _beside(self, pipe: Connection, given: tuple[Any, ...], deadline: float) -> Any:
        """Ask. An answer that came too late for whoever asked lies before the next one's."""
        with self._asking[pipe]:
            self._number += 1
            number, until = self._number, time.monotonic() + deadline
            self._send(pipe, (number, given))
            answered = -1
            while answered != number:
                left = max(0.0, until - time.monotonic())
                answered, (kind, value) = self._receive(pipe, left, deadline)
        if kind == "failed":
            raise value
        return value

    def kill(self) -> None:
        """End the process now and wait for it."""
        self.process.kill()
        self.process.join()

    def _built(self, progress: Progress, load: float | None) -> tuple[EngineConfig, EngineInfo]:
        while True:
            kind, value = self._receive(self._calls, load, load)
            if kind == "failed":
                raise value
            if kind == "built":
                config, info = value
                return config, info
            progress(value)

    def _share(self) -> SharedMemory:
        """Make the memory that pictures cross in: it lives as long as anybody looks at one."""
        memory = SharedMemory(create=True, size=memory_bytes(self.config))
        try:
            self._exchange(self._calls, memory.name, 10 * _LEAST_DEADLINE)
        finally:
            memory.unlink()  # both hold it by now: the name is not needed any more
        return memory

    def _exchange(self, pipe: Connection, message: Any, deadline: float) -> Any:
        self._send(pipe, message)
        return self._receive(pipe, deadline, deadline)

    def _send(self, pipe: Connection, message: Any) -> None:
        try:
            pipe.send(message)
        except OSError as error:
            raise EngineAway("the engine process is gone") from error

    def _receive(self, pipe: Connection, left: float | None, deadline: float | None) -> Any:
        try:
            if not arrives(pipe, left):
                raise EngineAway(f"the engine gave no answer for {deadline:.1f} s")
            return pipe.recv()
        except (EOFError, OSError) as error:
            raise EngineAway("the engine process is gone") from error
