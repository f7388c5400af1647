"""What a device waits for between two calls: its call is a known time, all round it is real.

python -m tests.bench.between_calls [--call-ms 15] [--sessions 1,4,8] [--side 512] [--calls 200]:
JSON, medians. The engine thread's processor time says more than the clock where others work, too.
`--model`: the calls are those of the shipped model, in a process of its own.
"""

import argparse
import json
import statistics
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from itertools import pairwise

from pipeline.building import build
from pipeline.config import EngineConfig
from pipeline.params import StyleParams
from pipeline.results import EngineResult
from streams.engine_process import EngineProcess
from streams.frame import SessionId
from streams.protocol import Result
from streams.worker import Worker
from tests.streams.fakes import FakeEngine
from tests.streams.pictures import frame
from tests.streams.waiting import until

_EVERY = 0.01  # seconds between two pictures of a camera: less than a call
_FIRST = 20  # calls that do not count
Moment = tuple[float, float]  # seconds: of the clock, and of this thread's processor time
Calls = list[tuple[Moment, Moment]]  # begin and end of each


def moment() -> Moment:
    """Read both."""
    return time.perf_counter(), time.thread_time()


class Device(FakeEngine):
    """Inverts all that it was given, in a known time."""

    def __init__(self, config: EngineConfig, seconds: float) -> None:
        super().__init__(config, sizes={(config.width, config.height)})
        self._seconds = seconds
        self.calls: Calls = []

    def start(self) -> "Device":
        """Be there at once."""
        return self

    def tick(self) -> list[EngineResult]:
        """Wait, as one does for a GPU."""
        begin, results = moment(), super().tick()
        time.sleep(self._seconds)
        self.calls.append((begin, moment()))
        return results

    def end(self) -> None:
        """Do nothing: there is no process."""


class Model(EngineProcess):
    """The shipped model."""

    def __init__(self, config: EngineConfig) -> None:
        super().__init__(partial(build, config))
        self.calls: Calls = []

    def tick(self) -> Sequence[Result]:
        """Note when, besides."""
        begin, results = moment(), super().tick()
        self.calls.append((begin, moment()))
        return results


@contextmanager
def cameras(worker: Worker, sessions: list[SessionId], side: int) -> Iterator[None]:
    """Send pictures of all sessions, each newer than the last."""
    given, ended = frame(0, width=side, height=side), threading.Event()

    def send() -> None:
        number = 0
        while not ended.wait(_EVERY):
            number += 1
            for session in sessions:
                now = time.monotonic_ns()
                worker.put(session, replace(given, number=number, arrived_ns=now))

    sending = threading.Thread(target=send)
    sending.start()
    try:
        yield
    finally:
        ended.set()
        sending.join()


def between(device: Device | Model, count: int, calls: int) -> dict[str, float]:
    """Give the milliseconds from the end of a call for `count` sessions to the next one's begin."""
    worker = Worker(device.start)
    worker.start()
    worker.ready.result()
    sessions = [SessionId(f"s{number}") for number in range(count)]
    for session in sessions:
        worker.open(session, StyleParams(), lambda restyled: None)
    with cameras(worker, sessions, device.config.width):
        until(lambda: len(device.calls) > _FIRST + calls, 600)
    worker.close()
    device.end()
    gaps = [(end, begin) for (_, end), (begin, _) in pairwise(device.calls[_FIRST:])]
    clock, processor = (
        statistics.median(begin[i] - end[i] for end, begin in gaps) for i in range(2)
    )
    return {"clock": round(1000 * clock, 2), "processor": round(1000 * processor, 2)}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--call-ms", type=float, default=15)
    parser.add_argument("--sessions", default="1,4,8")
    parser.add_argument("--side", type=int, default=512)
    parser.add_argument("--calls", type=int, default=200)
    parser.add_argument("--model", action="store_true")
    given = parser.parse_args()
    config = EngineConfig(width=given.side, height=given.side)
    figures = {}
    for count in given.sessions.split(","):
        device = Model(config) if given.model else Device(config, given.call_ms / 1000)
        figures[count] = between(device, int(count), given.calls)
    print(json.dumps({"between_ms": figures}, indent=2))
