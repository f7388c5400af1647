import itertools
import multiprocessing
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from pipeline.config import Size
from pipeline.errors import ConfigError, ModelError
from pipeline.params import StyleParams
from pipeline.results import EngineResult
from streams import engine_guardian, engine_handle
from streams.engine_child import Progress
from streams.engine_process import EngineProcess
from streams.errors import EngineAway
from streams.frame import Restyled
from streams.worker import Worker
from tests.streams.fakes import FakeEngine
from tests.streams.pictures import ANN, frame, level_of
from tests.streams.waiting import PATIENCE, discard, overslept, until

SLOW = (576, 64)  # takes long to be made ready


class Mortal(FakeEngine):
    """Dies at a tick with the prompt "die", sleeps at "hang", has no memory at "oom".

    At "load" it takes longer than a call may, as when kernels are loaded.
    """

    def tick(self) -> list[EngineResult]:
        for _, _, _, params in self._waiting:
            if params.prompt == "die":
                os._exit(9)
            if params.prompt == "hang":
                time.sleep(60)
            if params.prompt == "oom":
                raise MemoryError
            if params.prompt == "load":
                time.sleep(2.5)
        return super().tick()

    def prepare_size(self, session: str, size: Size) -> None:
        super().prepare_size(session, size)
        if size == SLOW:
            time.sleep(4)


def build(progress: Progress) -> Mortal:
    progress("thinking")
    return Mortal()


def refuse(progress: Progress) -> Mortal:
    raise ModelError("no such folder")


@contextmanager
def started(restarts: int = 3) -> Iterator[EngineProcess]:
    engine = EngineProcess(build, restarts=restarts)
    try:
        yield engine.start()
    finally:
        engine.end()


def shown_of(worker: Worker, shown: queue.Queue[Restyled], number: int) -> float:
    worker.put(ANN, frame(number, level=60))
    return level_of(shown.get(timeout=PATIENCE).picture)


def test_results_are_those_of_an_engine_in_this_process() -> None:
    image = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    here = FakeEngine()
    with started() as there:
        for engine in (here, there):
            engine.open("ann")
            engine.submit("ann", 7, image, StyleParams())
            assert engine.in_flight == 1
            assert not engine.wants("ann", 1)
        (one,), (other,) = here.tick(), there.tick()
        assert there.wants("ann", 1)
        assert there.info == here.info
        assert there.prepare(StyleParams(prompt="gibberish")) == "nothing I know"
        with pytest.raises(ValueError, match=r"picture \(64, 64\)"):
            there.submit("ann", 8, image[..., 0], StyleParams())
        there.submit("ann", 8, image, StyleParams(prompt="load"))
        assert there.tick()  # a first call that loads for long is no hang
        assert there.state == "running"
    assert np.array_equal(one.image, other.image)
    assert (one.number, one.stages_ms) == (other.number, other.stages_ms)


def test_a_lost_engine_lets_frames_through_and_comes_back() -> None:
    numbers = itertools.count()
    with started() as engine:
        worker = Worker(lambda: engine)
        worker.start()
        shown: queue.Queue[Restyled] = queue.Queue()
        worker.open(ANN, StyleParams(), shown.put)
        for prompt in ("die", "oom", "hang"):
            worker.restyle(ANN, StyleParams(prompt="kept"))
            for _ in range(20):  # past the first calls, which may take longer
                assert abs(shown_of(worker, shown, next(numbers)) - 195) <= 3
            worker.restyle(ANN, StyleParams(prompt=prompt))
            began, lost = time.monotonic(), 0.0
            while shown.empty():
                worker.put(ANN, frame(next(numbers), level=60))
                lost += overslept(1 / 30)
            assert time.monotonic() - began - lost < 0.7  # 0.5 s are promised; others work here too
            assert worker.engine_state in ("stuck", "restarting")
            assert abs(level_of(shown.get().picture) - 60) <= 3
            worker.restyle(ANN, StyleParams(prompt="kept"))
            until(lambda: worker.engine_state == "restarting")
            assert abs(shown_of(worker, shown, next(numbers)) - 60) <= 3
            until(lambda: worker.engine_state == "running")
            discard(shown)
        assert worker.engine_losses == 3
        worker.close()


def test_an_engine_that_cannot_be_built_at_once_is_built_a_moment_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Unborn:
        """A child that cannot be built the first and the third time."""

        born = 0

        def __init__(self, build: object) -> None:
            self._alive, self._end = multiprocessing.Pipe()
            self.process = SimpleNamespace(sentinel=self._alive)
            self.config, self.info = FakeEngine().config, FakeEngine().info

        def load(self, *_: object) -> None:
            Unborn.born += 1
            if Unborn.born == 1:
                raise EngineAway("it died while it was loading")
            if Unborn.born == 3:
                raise ModelError("not yet")

        def answers(self) -> bool:
            return True

        def kill(self) -> None:
            self._end.send(None)  # both sides may kill: a second close could hit another's file

    monkeypatch.setattr(engine_guardian, "Child", Unborn)
    engine = EngineProcess(build).start()
    engine._guardian.present().kill()
    until(lambda: Unborn.born == 4 and engine.state == "running")
    assert engine.losses == 1
    engine.end()


def test_an_engine_that_dies_too_often_stays_away_and_leaves_nothing() -> None:
    with started(restarts=1) as engine:
        processes = []
        for _ in range(2):
            until(lambda: engine._guardian.child is not None)
            child = engine._guardian.present()
            assert child.go._memory.name not in {
                path.name for path in Path("/dev/shm").glob("psm_*")
            }
            processes.append(child.process)
            child.process.kill()
            until(lambda child=child: engine._guardian.child is not child)
        assert engine.state == "failed"
        with pytest.raises(EngineAway):
            engine.open("ann")
        engine.revive()
        until(lambda: engine.state == "running")
    assert not any(process.is_alive() for process in processes)


def test_what_the_build_raises_is_told() -> None:
    with pytest.raises(ModelError, match="no such folder"):
        EngineProcess(refuse).start()


def test_the_child_dies_with_its_parent() -> None:
    code = (
        "from tests.streams.test_engine_process import *\n"
        "if __name__ == '__main__':\n"
        "    e = EngineProcess(build).start()\n"
        "    print(e._guardian.child.process.pid, flush=True); time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        parent.kill()
    until(lambda: not _runs(child))


def _runs(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rsplit(")")[-1].split()[0]
    except FileNotFoundError:
        return False


def test_a_size_is_made_ready_beside_the_frames_and_again_in_the_next_child() -> None:
    wide = np.random.default_rng(1).integers(0, 255, (256, 512, 3), np.uint8)

    def restyled(engine: EngineProcess) -> np.ndarray:
        engine.open("ann")
        engine.submit("ann", 1, wide, StyleParams())
        (result,) = engine.tick()
        return result.image

    with started() as engine:
        with pytest.raises(ConfigError, match="multiples of 64"):
            engine.prepare_size("ann", (257, 256))
        assert not engine._sizes
        engine.prepare_size("ann", (512, 256))
        assert np.array_equal(restyled(engine), 255 - wide)
        child = engine._guardian.present()
        child.process.kill()
        until(lambda: engine._guardian.child is not child)
        with pytest.raises(EngineAway):
            engine.tick()
        until(lambda: engine.state == "running")
        assert np.array_equal(restyled(engine), 255 - wide)


def test_what_is_made_ready_beside_a_call_is_no_hang_of_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(engine_handle, "_FIRST_CALLS", 0)
    image = np.zeros((64, 64, 3), np.uint8)
    with started() as engine:
        engine.open("ann")
        engine.submit("ann", 1, image, StyleParams(prompt="load"))
        preparing = threading.Thread(target=engine.prepare_size, args=("ben", SLOW))
        preparing.start()
        assert [result.number for result in engine.tick()] == [1]  # 2.5 s, of 2 allowed
        preparing.join()
        engine.submit("ann", 2, image, StyleParams(prompt="load"))
        with pytest.raises(EngineAway, match=r"no answer for 2\.0 s"):
            engine.tick()


def test_an_answer_that_came_too_late_is_not_taken_for_the_next_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with started() as engine:
        monkeypatch.setattr(engine_handle, "_SIZE", 0.05)  # a size takes 0.2 s there
        with pytest.raises(EngineAway, match="no answer"):
            engine.prepare_size("ann", (512, 256))
        assert "ann" not in engine._sizes
        monkeypatch.setattr(engine_handle, "_SIZE", 20.0)
        with pytest.raises(ConfigError, match="multiples of 64"):
            engine.prepare_size("ann", (257, 256))


def test_a_size_that_has_no_room_any_more_keeps_nobody_from_the_next_child() -> None:
    with started() as engine:
        engine.open("ann")
        engine.prepare_size("ann", (512, 256))
        engine._sizes["ann"] = (1024, 1024)  # no room for that
        child = engine._guardian.present()
        child.process.kill()
        until(lambda: engine.state == "restarting")
        until(lambda: engine.state == "running")
        assert engine.losses == 1
