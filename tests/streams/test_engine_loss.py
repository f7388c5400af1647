"""What sessions have outlives the engine's process, and no way of losing it leaves it half open."""

import multiprocessing
import threading
import time

import numpy as np
import pytest

from pipeline.config import Size
from pipeline.params import StyleParams
from streams import engine_guardian, engine_handle
from streams.engine_child import Build, Progress
from streams.engine_handle import Child
from streams.engine_process import EngineProcess
from streams.errors import EngineAway
from streams.worker import Worker
from tests.streams.fakes import FakeEngine
from tests.streams.pictures import ANN, BEN
from tests.streams.test_engine_process import build, started
from tests.streams.test_engine_quarantine import Viewer, near, process_of, sending, working
from tests.streams.waiting import PATIENCE, until

WIDE = (128, 64)


def lose(engine: EngineProcess) -> None:
    """Kill the child and wait until the guardian knows."""
    before = engine.losses
    process_of(engine).process.kill()
    until(lambda: engine.losses > before)


def test_a_session_keeps_its_size_when_the_engine_is_lost_and_when_a_call_failed() -> None:
    with started() as engine, working(engine) as worker:
        ann = Viewer(worker, ANN, StyleParams(), level=60)
        ben = Viewer(worker, BEN, StyleParams(), level=60)
        worker.prepare_size(ANN, WIDE)
        worker.resize(ANN, WIDE)
        sending([ann], lambda: near(ann.last(), 195))

        worker.restyle(BEN, StyleParams(prompt="crash"))
        sending([ann, ben], lambda: worker.failures > 0)
        worker.restyle(BEN, StyleParams())
        lose(engine)
        ann.last()
        sending([ann], lambda: near(ann.last(), 195))


def test_an_answer_that_came_just_before_the_loss_leaves_nothing_in_flight(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with started() as engine:
        child = process_of(engine)
        ask = child.ask

        def last_words(name: str, given: tuple[object, ...]) -> object:
            answer = ask(name, given)
            if name == "submit":
                lose(engine)  # the guardian is quicker than who reads the answer
            return answer

        monkeypatch.setattr(child, "ask", last_words)
        engine.open("ann")
        engine.submit("ann", 1, np.zeros((64, 64, 3), np.uint8), StyleParams())
        assert engine.in_flight == 1  # so that the driver asks, and is told
        with pytest.raises(EngineAway):
            engine.tick()
        assert engine.in_flight == 0
        assert not engine.wants("ann", 1)


def test_an_end_that_comes_while_the_process_is_started_is_heard(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    engine = EngineProcess(build)
    ending = threading.Thread(target=engine.end)

    class GivenUp(Child):
        def __init__(self, build: Build) -> None:
            super().__init__(build)
            ending.start()
            ending.join(0.5)  # it is over, or waits for this one

    monkeypatch.setattr(engine_guardian, "Child", GivenUp)
    try:
        with pytest.raises(EngineAway):
            engine.start()
    finally:
        ending.join()
        engine.end()


def test_a_process_that_cannot_be_started_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    tries: list[int] = []

    class Refused(Child):
        def __init__(self, build: Build) -> None:
            tries.append(1)
            if len(tries) == 1:
                raise OSError(24, "Too many open files")
            super().__init__(build)

    with started() as engine:
        monkeypatch.setattr(engine_guardian, "Child", Refused)
        lose(engine)
        until(lambda: engine._guardian.child is not None)
        assert (engine.state, len(tries)) == ("running", 2)


def test_a_child_that_cannot_make_a_size_ready_in_time_is_not_left_behind(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with started(restarts=2) as engine:
        engine.open("ann")
        engine.prepare_size("ann", WIDE)
        monkeypatch.setattr(engine_handle, "_SIZE", 0.01)  # it takes 0.2 s there
        lose(engine)
        until(lambda: engine.state == "failed")
        assert not [p for p in multiprocessing.active_children() if p.name == "engine"]


def test_an_engine_that_is_lost_before_its_first_frame_is_still_told_of() -> None:
    def build_and_lose() -> EngineProcess:
        lose(engine)
        return engine

    with started() as engine:
        worker = Worker(build_and_lose)
        worker.start()
        assert worker.ready.result(PATIENCE).model == "fake"
        worker.close()


class Sized(FakeEngine):
    """Says as its hint who has a size of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.of: dict[str, Size] = {}

    def prepare_size(self, session: str, size: Size) -> None:
        time.sleep(1)
        super().prepare_size(session, size)
        self.of[session] = size

    def close(self, session: str) -> None:
        super().close(session)
        self.of.pop(session, None)

    def prepare(self, params: StyleParams) -> str | None:
        return " ".join(self.of) or None


def sized(progress: Progress) -> Sized:
    return Sized()


def test_a_size_that_is_ready_after_its_session_has_ended_is_let_go() -> None:
    engine = EngineProcess(sized)
    try:
        with working(engine.start()) as worker:
            worker.open(ANN, StyleParams(), lambda restyled: None)
            preparing = threading.Thread(target=worker.prepare_size, args=(ANN, WIDE))
            preparing.start()
            until(lambda: ANN in engine._sizes)
            worker.close_session(ANN)
            until(lambda: ANN not in engine._sizes)
            assert preparing.is_alive()  # it was closed first
            preparing.join()
            until(lambda: worker.prepare(StyleParams()) is None)
    finally:
        engine.end()
