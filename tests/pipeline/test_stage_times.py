"""Stages are timed where they run: by the host's clock on a CPU, by events on a GPU."""

import pytest
import torch

from pipeline import stage_times
from pipeline.engine import build_engine
from pipeline.params import StyleParams
from pipeline.stage_times import StageTimes
from tests.pipeline.conftest import Bench, drain, picture

gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")


class Queue:
    """A device whose work takes its time only once it is waited for."""

    def __init__(self) -> None:
        self.at = 0.0  # ms of work that was queued
        self.done = 0.0
        self.events = 0

    def event(self) -> "Event":
        self.events += 1
        return Event(self)


class Event:
    def __init__(self, queue: Queue) -> None:
        self._queue, self._at = queue, 0.0

    def record(self) -> None:
        self._at = self._queue.at

    def synchronize(self) -> None:
        self._queue.done = max(self._queue.done, self._at)

    def elapsed_time(self, other: "Event") -> float:
        assert other._at <= self._queue.done  # CUDA raises for an event that is still to come
        return other._at - self._at


def test_on_a_cpu_the_hosts_clock_is_shared_out_by_rows() -> None:
    now = [0.0]
    times = StageTimes(torch.device("cpu"), lambda: now[0])
    ann: dict[str, float] = {}
    ben = {"unet": 5.0}

    with times.span("unet", [ann, ben], [2, 1]):
        now[0] += 0.03

    assert ann == {"unet": pytest.approx(20)}
    assert ben == {"unet": pytest.approx(15)}  # what another step took stays
    times.settle_sync()


def test_on_a_gpu_what_was_queued_is_told_once_it_was_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    queue = Queue()
    monkeypatch.setattr(stage_times, "_event", queue.event)
    times = StageTimes(torch.device("cuda"), lambda: 0.0)
    for _ in range(3):
        frame: dict[str, float] = {}
        for stage, spent in (("encode", 2), ("unet", 9), ("unet", 9), ("decode", 3)):
            with times.span(stage, [frame], [1]):
                queue.at += spent
        assert frame == {}

        times.settle_sync()

        assert frame == {"encode": 2, "unet": 18, "decode": 3}
    assert queue.events == 8  # of four calls: they are used again


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=[pytest.mark.gpu, gpu])])
def test_a_frames_stages_add_up_to_no_more_than_it_took(bench: Bench, device: str) -> None:
    engine = build_engine(bench.config("sd15", device=device))
    engine.open("ann")
    style = StyleParams(prompt="ink", steps=2, deflicker=0.0)
    for number in range(3):
        began = engine._clock()
        engine.submit("ann", number, picture(number), style)
        (result,) = drain(engine)
        took = 1000 * (engine._clock() - began)

        assert list(result.stages_ms) == ["encode", "unet", "decode"]
        assert 0 < sum(result.stages_ms.values()) <= took
