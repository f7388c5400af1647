"""Frames are handed out beside the engine's next call, in order, to whom they are for."""

import itertools
import queue
import threading
import time
from collections.abc import Callable

import numpy as np
import pytest

from pipeline.params import StyleParams
from pipeline.results import EngineResult
from streams.delivery import Delivery, Recipient
from streams.frame import Restyled
from streams.worker import Worker
from tests.streams.fakes import FakeEngine
from tests.streams.pictures import ANN, BEN, frame
from tests.streams.test_engine_process import started
from tests.streams.test_engine_quarantine import process_of
from tests.streams.test_engine_quarantine import working as working_apart
from tests.streams.test_worker import Shown, working
from tests.streams.waiting import PATIENCE, overslept, until


class Counting(FakeEngine):
    """Counts its calls."""

    ticks = 0

    def tick(self) -> list[EngineResult]:
        self.ticks += 1
        return super().tick()


class Pair(FakeEngine):
    """Waits for two frames, to give both at once: ben's first."""

    def tick(self) -> list[EngineResult]:
        if len(self._waiting) < 2:
            time.sleep(0.01)
            return []
        return sorted(super().tick(), key=lambda result: result.session, reverse=True)


class Gate:
    """A recipient that holds each picture until it is let go on."""

    def __init__(self) -> None:
        self.taken: list[int] = []
        self.has_one, self.let = threading.Event(), threading.Event()

    def __call__(self, restyled: Restyled) -> None:
        self.has_one.set()
        assert self.let.wait(PATIENCE)
        self.taken.append(restyled.source.number)


def put_until(worker: Worker, true: Callable[[], bool]) -> None:
    """Send ann's pictures until something is true."""
    numbers = itertools.count()

    def sent_and_true() -> bool:
        worker.put(ANN, frame(next(numbers)))
        return true()

    until(sent_and_true)


def test_a_frame_takes_as_long_as_the_call_or_its_delivery_not_as_both() -> None:
    frames, each = 16, 0.03  # seconds
    late: list[float] = []  # what others on the machine took

    class Slow(FakeEngine):
        def tick(self) -> list[EngineResult]:
            late.append(overslept(each))
            return super().tick()

    with working(Slow()) as worker:
        shown: list[float] = []

        def deliver(_: Restyled) -> None:
            late.append(overslept(each))
            shown.append(time.monotonic() - sum(late))

        worker.open(ANN, StyleParams(), deliver)
        put_until(worker, lambda: len(shown) > frames)
    assert (shown[frames] - shown[0]) / frames < 2 * each * 0.9


def test_the_next_call_runs_meanwhile_and_the_one_after_it_waits() -> None:
    engine, gate = Counting(), Gate()
    with working(engine) as worker:
        ben: Shown = queue.Queue()
        worker.open(ANN, StyleParams(), gate)
        worker.open(BEN, StyleParams(), ben.put)
        put_until(worker, lambda: engine.ticks == 2)
        assert not gate.taken
        until(lambda: worker.engine_state == "stuck")  # as in a call that hangs
        worker.put(BEN, given := frame(0))
        assert ben.get_nowait().picture is given.picture
        assert engine.ticks == 2
        gate.let.set()
        until(lambda: worker.engine_state == "running")
        put_until(worker, lambda: engine.ticks > 3)


def test_a_picture_on_its_way_does_not_reach_a_session_that_left_or_came_back() -> None:
    with working(Pair()) as worker:
        gate = Gate()
        old: Shown = queue.Queue()
        new: Shown = queue.Queue()
        worker.open(ANN, StyleParams(), old.put)
        worker.open(BEN, StyleParams(), gate)
        for each in (ANN, BEN):
            worker.put(each, frame(0))
        assert gate.has_one.wait(PATIENCE)  # ann's is next
        worker.close_session(ANN)
        worker.open(ANN, StyleParams(), new.put)
        gate.let.set()
        for each in (ANN, BEN):
            worker.put(each, frame(1))
        first = new.get(timeout=PATIENCE)
        assert first.source.number == 1
        assert first.flicker is None  # it is compared with nobody else's
        assert old.empty()
        for each in (ANN, BEN):
            worker.close_session(each)
        assert not worker._delivery._recipients


def test_a_session_that_leaves_while_it_gets_a_picture_holds_up_nobody() -> None:
    with working(FakeEngine()) as worker:
        gate = Gate()
        ben: Shown = queue.Queue()
        worker.open(ANN, StyleParams(), gate)
        worker.open(BEN, StyleParams(), ben.put)
        worker.put(ANN, frame(0))
        assert gate.has_one.wait(PATIENCE)
        worker.close_session(ANN)
        gate.let.set()
        worker.put(BEN, frame(7))
        assert ben.get(timeout=PATIENCE).source.number == 7


def test_a_recipient_that_fails_costs_no_other_its_picture(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with working(Pair()) as worker:
        ann: Shown = queue.Queue()

        def fail(_: Restyled) -> None:
            raise RuntimeError("as asked")

        worker.open(ANN, StyleParams(), ann.put)
        worker.open(BEN, StyleParams(), fail)
        for number in range(2):
            for each in (ANN, BEN):
                worker.put(each, frame(number))
            assert ann.get(timeout=PATIENCE).source.number == number
    assert "session ben: frame 1 was not taken" in caplog.text


def test_a_frame_that_passes_through_does_not_overtake_the_one_before_it() -> None:
    engine = FakeEngine()
    with working(engine) as worker:
        gate = Gate()
        worker.open(ANN, StyleParams(), gate)
        worker.put(ANN, frame(0))
        assert gate.has_one.wait(PATIENCE)
        worker.restyle(ANN, StyleParams(prompt="fail"))
        worker.put(ANN, frame(1))
        until(lambda: engine.submitted == 2)
        gate.let.set()
        until(lambda: len(gate.taken) == 2)
    assert gate.taken == [0, 1]


def test_frames_that_pass_through_in_two_threads_are_all_counted() -> None:
    class Slow(int):
        """A number that lets other threads go on while something is added to it."""

        def __add__(self, other: int) -> "Slow":
            time.sleep(0.02)
            return Slow(int(self) + other)

    delivery = Delivery()
    delivery.failures = Slow(0)
    recipient = Recipient(ANN, lambda _: None)
    threads = [
        threading.Thread(target=delivery.pass_through, args=(recipient, frame(n), False))
        for n in range(4)
    ]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    delivery.end()
    assert delivery.failures == 4


def test_what_is_on_its_way_when_the_worker_closes_arrives_before_it_has_closed() -> None:
    gate = Gate()
    with working(FakeEngine()) as worker:
        worker.open(ANN, StyleParams(), gate)
        worker.put(ANN, frame(0))
        assert gate.has_one.wait(PATIENCE)
        closing = threading.Thread(target=worker.close)
        closing.start()
        closing.join(0.1)
        assert closing.is_alive()
        gate.let.set()
        closing.join(PATIENCE)
        assert gate.taken == [0]


def test_a_delivered_picture_gives_its_place_back_to_the_engines_process() -> None:
    with started() as engine, working_apart(engine) as worker:
        shown: Shown = queue.Queue()
        worker.open(ANN, StyleParams(), shown.put)
        for number in range(3):
            worker.put(ANN, frame(number))
            assert shown.get(timeout=PATIENCE).source.number == number
        child = process_of(engine)
        until(lambda: not np.any(child.come._taken))
