"""A child that hangs while nobody calls, and a session that ends the engine again and again."""

import os
import queue
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from pipeline.params import StyleParams
from streams import engine_handle
from streams.engine_handle import Child
from streams.engine_process import EngineProcess
from streams.frame import Restyled, SessionId
from streams.quarantine import Quarantine
from streams.worker import Worker
from tests.streams.pictures import ANN, BEN, frame, level_of
from tests.streams.test_engine_process import started
from tests.streams.waiting import until

CAT = SessionId("cat")
DIE = StyleParams(prompt="die")


class Hour:
    """A clock that stands until it is set."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def hour() -> Hour:
    return Hour()


@pytest.fixture
def quarantine(hour: Hour) -> Quarantine:
    return Quarantine(hour)


def test_a_session_that_is_inside_at_two_losses_is_held(quarantine: Quarantine) -> None:
    assert quarantine.lost({ANN}) is None
    assert not quarantine.holds(ANN)
    quarantine.turn([])
    assert quarantine.lets_in(ANN)
    assert quarantine.lost({ANN, BEN}) == ANN  # ben was inside once only
    assert quarantine.holds(ANN)
    assert not quarantine.holds(BEN)


def test_suspects_go_in_one_frame_at_a_time_and_others_as_ever(quarantine: Quarantine) -> None:
    quarantine.lost({ANN, BEN})
    quarantine.turn([])
    assert quarantine.lets_in(ANN)
    assert not quarantine.lets_in(BEN)
    assert quarantine.lets_in(ANN)  # the mailbox asks twice before it takes one
    assert quarantine.lets_in(CAT)
    quarantine.turn([(ANN, 1), (CAT, 7)])
    assert not quarantine.lets_in(BEN)
    assert not quarantine.lets_in(ANN)  # a full pipeline of its frames would shut ben out
    assert quarantine.lets_in(CAT)
    quarantine.turn([(CAT, 7)])
    assert quarantine.lets_in(BEN)


def test_who_was_inside_for_a_while_without_a_loss_is_no_suspect(
    quarantine: Quarantine, hour: Hour
) -> None:
    quarantine.lost({ANN, BEN})
    hour.now = 300.0  # a large model loads for long
    for each in (ANN, BEN):
        quarantine.turn([])
        assert quarantine.lets_in(each)
    hour.now += 21
    quarantine.turn([])
    assert quarantine.lets_in(ANN)
    assert quarantine.lets_in(BEN)
    assert quarantine.lost({ANN}) is None


def test_a_change_lets_a_session_out_but_not_again_within_a_minute(
    quarantine: Quarantine, hour: Hour
) -> None:
    def hold() -> None:
        quarantine.turn([])
        assert quarantine.lets_in(ANN)
        assert quarantine.lost({ANN}) == ANN

    quarantine.lost({ANN})
    quarantine.change(ANN)  # another style that kills as well
    hold()
    assert quarantine.holds(ANN)
    quarantine.change(ANN)
    assert not quarantine.holds(ANN)
    hold()  # at its first loss: it is still a suspect
    hour.now += 30
    quarantine.change(ANN)
    assert quarantine.holds(ANN)
    hour.now += 31
    assert not quarantine.holds(ANN)  # the change counts when its time has come


def test_who_comes_back_is_held_still_and_who_does_not_is_forgotten(
    quarantine: Quarantine, hour: Hour
) -> None:
    for each in (ANN, BEN):
        for _ in range(2):
            quarantine.lost({each})
        quarantine.leave(each)
    hour.now += 30
    quarantine.come(ANN)
    hour.now += 31
    quarantine.leave(CAT)
    assert quarantine.holds(ANN)
    assert not quarantine.holds(BEN)
    assert set(quarantine._records) == {ANN}


def test_a_person_who_tries_again_lets_all_in(quarantine: Quarantine) -> None:
    for _ in range(2):
        quarantine.lost({BEN})
    quarantine.clear()
    assert not quarantine.holds(BEN)


@contextmanager
def working(engine: EngineProcess) -> Iterator[Worker]:
    worker = Worker(lambda: engine)
    worker.start()
    worker.ready.result(5)
    try:
        yield worker
    finally:
        worker.close()


class Viewer:
    """Sends a camera's pictures of one grey level and keeps the newest that came back."""

    def __init__(self, worker: Worker, session: SessionId, style: StyleParams, level: int) -> None:
        self._worker, self._session, self._level = worker, session, level
        self._shown: queue.Queue[Restyled] = queue.Queue()
        self._number = 0
        worker.open(session, style, self._shown.put)

    def send(self) -> None:
        self._worker.put(self._session, frame(self._number, self._level))
        self._number += 1

    def last(self) -> int | None:
        """Give the level of the newest picture since the last look."""
        found = None
        while not self._shown.empty():
            found = level_of(self._shown.get().picture)
        return found


def sending(viewers: list[Viewer], true: Callable[[], bool]) -> None:
    """Send pictures of all until it is true."""

    def sent_and_true() -> bool:
        for each in viewers:
            each.send()
        return true()

    until(sent_and_true)


def near(level: int | None, wanted: int) -> bool:
    return level is not None and abs(level - wanted) <= 3


def test_a_session_that_kills_the_engine_is_passed_by_and_the_other_goes_on() -> None:
    with started() as engine, working(engine) as worker:
        ann = Viewer(worker, ANN, DIE, level=60)
        ben = Viewer(worker, BEN, StyleParams(), level=100)
        both, states = [ann, ben], set()

        def ann_is_held() -> bool:
            states.add(worker.engine_state)
            return worker.holds(ANN)

        sending(both, ann_is_held)
        sending(both, lambda: near(ben.last(), 155))
        losses = worker.engine_losses
        ann.last()  # what was on its way
        for _ in range(50):
            sending(both, lambda: near(ben.last(), 155))
            assert near(ann.last(), 60)
        assert not worker.holds(BEN)
        assert worker.engine_losses == losses == 2
        assert "failed" not in states

        worker.restyle(ANN, StyleParams(prompt="ink"))
        sending(both, lambda: near(ann.last(), 195))
        assert not worker.holds(ANN)
        assert worker.engine_losses == 2


def test_another_size_lets_a_session_in_too() -> None:
    with started() as engine, working(engine) as worker:
        ann = Viewer(worker, ANN, DIE, level=60)
        sending([ann], lambda: worker.holds(ANN))
        worker.close_session(ANN)
        ann = Viewer(worker, ANN, DIE, level=60)  # back with its resume token
        ann.send()
        assert near(ann.last(), 60)
        assert worker.engine_losses == 2
        worker.resize(ANN, (64, 64))
        assert not worker.holds(ANN)


def test_a_child_that_hangs_while_nobody_calls_is_replaced(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(engine_handle, "HEARTBEAT", 0.2)
    with started() as engine:
        child = process_of(engine)
        heard = child._heard
        until(lambda: child._heard > heard + 1)
        assert (engine.losses, engine.state) == (0, "running")  # one that is well is left alone
        stop(child)
        until(lambda: engine.losses == 1 and engine.state == "running")
        assert process_of(engine) is not child


def test_a_child_at_work_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_handle, "HEARTBEAT", 600)  # what the guardian waits
    with started() as engine:
        child = process_of(engine)
        monkeypatch.setattr(engine_handle, "HEARTBEAT", 0)
        stop(child)
        with child._one:
            assert child.answers()
        with child._asking[child._sizes]:
            assert child.answers()
        assert not child.answers()


def process_of(engine: EngineProcess) -> Child:
    return engine._guardian.present()


def stop(child: Child) -> None:
    assert child.process.pid is not None
    os.kill(child.process.pid, signal.SIGSTOP)
