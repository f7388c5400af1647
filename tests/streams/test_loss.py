"""G3 and G4 in virtual time: a camera over a link that loses packets, repairs too."""

import heapq
import itertools
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiortc.jitterbuffer import JitterBuffer
from aiortc.rtcrtpreceiver import NackGenerator
from aiortc.rtp import RtpPacket

from streams.jitter import Frames, MarkerJitterBuffer, PatientNackGenerator

FPS, PER_FRAME, KEY_PACKETS = 30, 6, 20
FREEZE = 0.2
KEY, DELTA = b"\x10\x02\x00\x9d\x01\x2a\x40\x00\x40\x00", b"\x11\x02\x00"


@dataclass
class Call:
    """A sender and a receiver; frames shown are those whose predecessors were all decoded."""

    loss: float
    delay: float  # one way, seconds
    seed: int
    outage: tuple[float, float] = (0.0, 0.0)  # from when to when nothing passes
    now: float = 0.0
    shown: list[tuple[float, float]] = field(default_factory=list)  # when, and the frame's age
    sent: int = 0

    def __post_init__(self) -> None:
        self._chance, self._order = random.Random(self.seed), itertools.count()
        self._events: list[tuple[float, int, Callable[..., None], Any]] = []
        self._history: dict[int, RtpPacket] = {}
        self._wants_key = True
        self._decoded: int | None = None  # number of the last frame that was decoded

    def run(self, buffer: JitterBuffer, nack: Any, seconds: float) -> None:
        self._buffer, self._nack = buffer, nack
        for number in range(int(seconds * FPS)):
            self._at(number / FPS, self._capture, number)
        while self._events:
            self.now, _, what, given = heapq.heappop(self._events)
            what(given)

    def frozen(self, seconds: float) -> tuple[float, float]:
        """Give the share of the time that was frozen, and the longest freeze."""
        times = [0.0, *(at for at, _ in self.shown), seconds]
        gaps = [later - one for one, later in itertools.pairwise(times)]
        return sum(gap for gap in gaps if gap > FREEZE) / seconds, max(gaps)

    def _at(self, when: float, what: Callable[..., None], given: Any) -> None:
        heapq.heappush(self._events, (when, next(self._order), what, given))

    def _capture(self, number: int) -> None:
        key, self._wants_key = self._wants_key, False
        count = KEY_PACKETS if key else PER_FRAME
        for part in range(count):
            packet = RtpPacket(
                sequence_number=self.sent % 65536, timestamp=number, marker=int(part == count - 1)
            )
            start = (KEY if key else DELTA) if part == 0 else b"rest"
            packet._data = start  # type: ignore[attr-defined]  # aiortc's own
            self._history[packet.sequence_number % 128] = packet
            self.sent += 1
            self._send(packet)

    def _send(self, packet: RtpPacket) -> None:
        if self._passes():
            self._at(self.now + self.delay, self._receive, packet)

    def _receive(self, packet: RtpPacket) -> None:
        if self._nack.add(packet):
            self._feedback(self._repair, set(self._nack.missing))
        wants_key, found = self._buffer.add(packet)
        ready = found.all() if isinstance(found, Frames) else [found] if found else []
        for frame in ready:
            is_key = frame.data.startswith(KEY)
            if is_key or frame.timestamp - 1 == self._decoded:
                self._decoded = frame.timestamp
                self.shown.append((self.now, self.now - frame.timestamp / FPS))
            else:
                wants_key = True  # as the decoder does
        if wants_key:
            self._feedback(self._make_key, None)

    def _feedback(self, what: Callable[..., None], given: Any) -> None:
        if self._passes():
            self._at(self.now + self.delay, what, given)

    def _passes(self) -> bool:
        start, end = self.outage
        return not start <= self.now < end and self._chance.random() >= self.loss

    def _repair(self, numbers: set[int]) -> None:
        for number in sorted(numbers):
            packet = self._history.get(number % 128)
            if packet is not None and packet.sequence_number == number:
                self._send(packet)

    def _make_key(self, _: None) -> None:
        self._wants_key = True


def ours(call: Call) -> tuple[JitterBuffer, Any]:
    clock = lambda: call.now  # noqa: E731
    return MarkerJitterBuffer(512, is_video=True, clock=clock), PatientNackGenerator(clock)


def aiortcs(call: Call) -> tuple[JitterBuffer, Any]:
    return JitterBuffer(512, is_video=True), NackGenerator()


def worst(make: Any, loss: float, delay: float, seconds: float = 12) -> tuple[float, float, float]:
    """Give the medians over three calls: share frozen, longest freeze, age p95."""
    results = []
    for seed in range(3):
        call = Call(loss, delay, seed)
        call.run(*make(call), seconds)
        ages = sorted(age for _, age in call.shown)
        results.append((*call.frozen(seconds), ages[int(0.95 * len(ages))]))
    share, longest, age = (sorted(values)[1] for values in zip(*results, strict=True))
    return share, longest, age


@pytest.mark.parametrize("delay", [0.005, 0.04])
@pytest.mark.parametrize(
    ("loss", "frozen", "longest"),
    [(0.01, 0.0, 0.2), (0.05, 0.02, 0.3), (0.1, 0.05, 0.4), (0.2, 0.15, 0.6)],
)
def test_freezes_stay_short_at_loss(
    loss: float, frozen: float, longest: float, delay: float
) -> None:
    share, most, age = worst(ours, loss, delay)
    assert share <= frozen
    assert most <= longest
    assert age <= 0.3 + delay


def test_less_is_frozen_than_with_aiortcs_own() -> None:
    assert worst(ours, 0.1, 0.04)[0] < 0.5 * worst(aiortcs, 0.1, 0.04)[0]


@pytest.mark.parametrize(("loss", "outage"), [(0.0, 5.0), (0.0, 15.0), (0.05, 5.0)])
def test_after_an_outage_the_picture_is_back_in_under_a_second(loss: float, outage: float) -> None:
    ended = 2 + outage
    back = []
    for make in (ours, aiortcs):
        call = Call(loss, 0.02, 1, outage=(2.0, ended))
        call.run(*make(call), ended + 8)
        back.append(min(at for at, _ in call.shown if at > ended) - ended)
        assert call.shown[-1][1] < 0.3  # no delay stays behind
    assert back[0] < 1.0
    assert back[0] <= back[1]
