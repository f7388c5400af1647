import itertools
import queue
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest

from pipeline.errors import ModelError
from pipeline.params import StyleParams
from pipeline.results import EngineResult
from streams.frame import Restyled
from streams.worker import Worker
from tests.streams.fakes import FakeEngine
from tests.streams.pictures import ANN, BEN, frame, level_of
from tests.streams.waiting import PATIENCE, overslept, until

Shown = queue.Queue[Restyled]


@contextmanager
def working(engine: FakeEngine) -> Iterator[Worker]:
    worker = Worker(lambda: engine)
    worker.start()
    worker.ready.result(PATIENCE)
    try:
        yield worker
    finally:
        worker.close()


def test_a_frame_comes_back_restyled_with_the_input_it_shows() -> None:
    with working(FakeEngine()) as worker:
        shown: Shown = queue.Queue()
        worker.open(ANN, StyleParams(), shown.put)
        worker.put(ANN, frame(3, level=60))

        result = shown.get(timeout=PATIENCE)

    assert result.source.number == 3
    assert abs(level_of(result.picture) - (255 - 60)) <= 3
    assert {"wait", "convert_in", "unet", "convert_out"} <= result.stages_ms.keys()


def test_bypass_gives_the_very_frame_back_and_never_enters_the_engine() -> None:
    engine = FakeEngine()
    with working(engine) as worker:
        shown: Shown = queue.Queue()
        worker.open(ANN, StyleParams(bypass=True), shown.put)
        given = frame(0)
        worker.put(ANN, given)

        assert shown.get(timeout=PATIENCE).picture is given.picture
    assert engine.submitted == 0


@pytest.mark.parametrize("prompt", ["fail", "crash"])
def test_a_frame_that_the_engine_cannot_do_passes_through_and_the_next_is_restyled(
    prompt: str,
) -> None:
    with working(FakeEngine()) as worker:
        shown: Shown = queue.Queue()
        worker.open(ANN, StyleParams(prompt=prompt), shown.put)
        worker.put(ANN, frame(0, level=60))
        assert abs(level_of(shown.get(timeout=PATIENCE).picture) - 60) <= 3

        worker.restyle(ANN, StyleParams())
        worker.put(ANN, frame(1, level=60))
        assert abs(level_of(shown.get(timeout=PATIENCE).picture) - 195) <= 3
        assert worker.failures == 1


def test_frames_pass_by_an_engine_that_is_stuck_and_are_restyled_after() -> None:
    let = threading.Event()

    class Stuck(FakeEngine):
        def tick(self) -> list[EngineResult]:
            if any(params.prompt == "hang" for *_, params in self._waiting):
                let.wait(PATIENCE)
            return super().tick()

    with working(Stuck()) as worker:
        shown: Shown = queue.Queue()
        worker.open(ANN, StyleParams(prompt="hang"), shown.put)
        began, lost, number = time.monotonic(), 0.0, 0
        while shown.empty():
            worker.put(ANN, frame(number, level=60))
            number += 1
            lost += overslept(1 / 30)
        assert time.monotonic() - began - lost < 0.7  # 0.5 s are promised; others work here too
        assert abs(level_of(shown.get().picture) - 60) <= 3
        assert worker.engine_state == "stuck"

        worker.restyle(ANN, StyleParams())
        let.set()
        while shown.get(timeout=PATIENCE).source.number:
            pass  # the frames that waited, then frame 0 when the call was over
        until(lambda: worker.engine_state == "running")
        worker.put(ANN, frame(99, level=60))
        while (found := shown.get(timeout=PATIENCE)).source.number != 99:
            pass
        assert abs(level_of(found.picture) - 195) <= 3


def test_a_machine_that_became_slow_is_not_taken_for_a_stuck_engine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    let = threading.Event()

    class Slow(FakeEngine):
        def tick(self) -> list[EngineResult]:
            let.wait(PATIENCE)
            time.sleep(0.15)  # as its warm-up did not tell
            return super().tick()

    monkeypatch.setattr("streams.patience._LEAST", 0.05)
    monkeypatch.setattr("streams.patience._SLOW", 10)
    with working(Slow()) as worker:
        shown: list[Restyled] = []
        worker.open(ANN, StyleParams(), shown.append)
        numbers = itertools.count()

        def failures_after_one_more() -> int:
            worker.put(ANN, frame(next(numbers), level=60))
            time.sleep(1 / 30)
            return worker.failures

        def restyled() -> int:
            return sum(bool(each.stages_ms) for each in shown)

        until(lambda: failures_after_one_more() > 0)  # not known yet
        let.set()
        until(lambda: failures_after_one_more() > 0 and restyled() >= 2)
        known = worker.failures
        assert [failures_after_one_more() for _ in range(20)] == [known] * 20
        assert restyled() >= 3


def test_sessions_get_their_own_pictures() -> None:
    with working(FakeEngine()) as worker:
        ann: Shown = queue.Queue()
        ben: Shown = queue.Queue()
        worker.open(ANN, StyleParams(), ann.put)
        worker.open(BEN, StyleParams(), ben.put)
        for number in range(10):
            worker.put(ANN, frame(number, level=20))
            worker.put(BEN, frame(number, level=200))
            assert abs(level_of(ann.get(timeout=PATIENCE).picture) - 235) <= 3
            assert abs(level_of(ben.get(timeout=PATIENCE).picture) - 55) <= 3


def test_an_engine_that_cannot_be_built_is_told() -> None:
    def build() -> FakeEngine:
        raise ModelError("no such folder")

    worker = Worker(build)
    worker.start()
    with pytest.raises(ModelError, match="no such folder"):
        worker.ready.result(PATIENCE)
    worker.close()


def test_a_late_picture_does_not_reach_the_session_that_came_back_under_its_id() -> None:
    let = threading.Event()

    class Held(FakeEngine):
        def tick(self) -> list[EngineResult]:
            let.wait(PATIENCE)
            return super().tick()

    engine = Held()
    with working(engine) as worker:
        old: Shown = queue.Queue()
        new: Shown = queue.Queue()
        worker.open(ANN, StyleParams(), old.put)
        worker.put(ANN, frame(1200))
        until(lambda: engine.in_flight > 0)
        worker.close_session(ANN)
        worker.open(ANN, StyleParams(), new.put)
        let.set()
        worker.put(ANN, frame(0))

        assert new.get(timeout=PATIENCE).source.number == 0
        assert old.empty()


def test_the_engine_thread_outlives_what_it_did_not_expect() -> None:
    engine = FakeEngine()
    with working(engine) as worker:
        shown: Shown = queue.Queue()

        def fail(_: Restyled) -> None:
            raise RuntimeError("as asked")

        worker.open(BEN, StyleParams(), fail)
        worker.put(BEN, frame(0))
        until(lambda: engine.submitted > 0 and not engine.in_flight)
        worker.open(ANN, StyleParams(), shown.put)
        worker.put(ANN, frame(0))
        assert shown.get(timeout=PATIENCE).source.number == 0


def test_a_picture_that_cannot_be_shown_costs_no_other_session_its_own() -> None:
    class Odd(FakeEngine):
        """Waits for both, and gives no picture for ann."""

        def tick(self) -> list[EngineResult]:
            if len(self._waiting) < 2:
                time.sleep(0.01)
                return []
            nothing = np.zeros((0, 0, 3), np.uint8)
            return [
                replace(each, image=nothing) if each.session == ANN else each
                for each in super().tick()
            ]

    with working(Odd()) as worker:
        shown: dict[str, Shown] = {each: queue.Queue() for each in (ANN, BEN)}
        for each in (ANN, BEN):
            worker.open(each, StyleParams(), shown[each].put)
            worker.put(each, frame(0, level=60))
        levels = [level_of(shown[each].get(timeout=PATIENCE).picture) for each in (ANN, BEN)]
        assert levels == pytest.approx([60, 195], abs=3)
        assert not worker._admitted


def test_closing_does_not_wait_for_an_engine_that_is_still_being_built() -> None:
    given_up = threading.Event()

    def build() -> FakeEngine:
        given_up.wait(PATIENCE)
        raise RuntimeError("given up")

    worker = Worker(build, given_up.set)
    worker.start()
    began = time.monotonic()
    worker.close()
    assert time.monotonic() - began < PATIENCE / 2
    assert worker.ready.cancelled()
