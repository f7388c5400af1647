"""An output's thread: it never holds up whoever feeds it, comes back, and ends."""

import threading
import time
from collections.abc import Callable

import av
import pytest

from streams.errors import SinkError, SinkLost
from streams.frame import Restyled
from streams.hub import Hub
from streams.output import Output
from streams.sound import Sound
from streams.soundtrack import Heard
from tests.streams.pictures import frame, level_of
from tests.streams.waiting import PATIENCE, until


class Memory:
    """A sink that keeps what it gets, and does first what it is told."""

    def __init__(self, first: Callable[[], None] = lambda: None) -> None:
        self.first = first
        self.pictures: list[av.VideoFrame] = []
        self.seconds: list[float] = []
        self.heard: list[tuple[bytes, float]] = []
        self.closed = False
        self.bytes = 0

    def write(self, picture: av.VideoFrame, seconds: float) -> None:
        self.first()
        self.pictures.append(picture)
        self.seconds.append(seconds)
        self.bytes += 10

    def hear(self, packet: Heard) -> None:
        self.first()
        self.heard.append((packet.data, packet.seconds))

    def close(self) -> None:
        self.closed = True


def shown(number: int, width: int = 64) -> Restyled:
    source = frame(number, level=number, width=width)
    return Restyled(source, source.picture, {})


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streams.output.backoff", lambda failures, chance: 0.0)


def test_pictures_come_in_order_with_their_own_time_and_are_copies() -> None:
    sink = Memory()
    output = Output("one", lambda: sink, 64, 64, room=8)
    given = [shown(number) for number in (0, 1, 2, 5)]
    for each in given:
        output.put(each)
    output.close()

    assert sink.seconds == pytest.approx([0, 1 / 30, 2 / 30, 5 / 30])
    assert [level_of(picture) for picture in sink.pictures] == pytest.approx([0, 1, 2, 5], abs=1)
    before = bytes(given[0].picture.planes[0])
    memoryview(sink.pictures[0].planes[0])[:] = b"\xff" * sink.pictures[0].planes[0].buffer_size
    assert bytes(given[0].picture.planes[0]) == before
    assert sink.closed
    figures = output.figures()
    assert (figures.state, figures.frames, figures.bytes) == ("ended", 4, 40)
    assert figures.seconds == pytest.approx(5 / 30)


def test_a_sink_that_hangs_holds_up_nobody_and_gets_the_newest_afterwards() -> None:
    going = threading.Event()
    slow, quick = Memory(lambda: bool(going.wait(PATIENCE)) and None), Memory()
    hub = Hub()
    outputs = [
        Output("slow", lambda: slow, 64, 64, room=2),
        Output("quick", lambda: quick, 64, 64, room=8),
    ]
    for output in outputs:
        hub.add(output.put)
    hub.put(shown(0))
    until(lambda: not outputs[0]._waiting)  # its sink hangs with the first
    took = 0.0
    for number in range(1, 20):
        each = shown(number)
        began = time.monotonic()
        hub.put(each)
        took += time.monotonic() - began
        until(lambda number=number: len(quick.pictures) == number + 1)  # type: ignore[misc]
    going.set()
    for output in outputs:
        output.close()

    assert took < 5
    assert [round(second * 30) for second in slow.seconds] == [0, 18, 19]
    assert outputs[0].figures().dropped == 17
    assert outputs[1].figures().dropped == 0


def test_a_lost_sink_is_opened_again_and_the_figures_go_on() -> None:
    sinks: list[Memory] = []

    def broken() -> None:
        if len(sinks) == 1 and len(sinks[0].pictures) == 2:
            raise SinkLost("the other side went away")

    def open_sink() -> Memory:
        sinks.append(Memory(broken))
        return sinks[-1]

    output = Output("one", open_sink, 64, 64, room=8)
    for number in range(3):
        output.put(shown(number))
    until(lambda: len(sinks) == 2 and output.figures().state == "live")
    output.put(shown(9))
    output.close()

    assert sinks[0].closed
    assert [round(second * 30) for second in sinks[1].seconds] == [0]  # a new stream begins at 0
    figures = output.figures()
    assert (figures.state, figures.frames, figures.bytes) == ("ended", 3, 30)
    assert figures.failure is not None
    assert figures.failure.detail == "the other side went away"


def test_one_that_fails_for_good_ends_by_itself_and_takes_nothing_more() -> None:
    def full() -> None:
        raise SinkError("the disk is full")

    output = Output("one", lambda: Memory(full), 64, 64, room=8)
    output.put(shown(0))
    output._thread.join(PATIENCE)
    output.put(shown(1))

    figures = output.figures()
    assert (figures.state, figures.frames) == ("failed", 0)
    assert figures.failure is not None
    assert figures.failure.detail == "the disk is full"
    assert not output._waiting
    output.close()


def test_an_unforeseen_error_says_nothing_of_a_library() -> None:
    def strange() -> None:
        raise ValueError("rtmp://somewhere/secret")

    output = Output("one", lambda: Memory(strange), 64, 64, room=8)
    output.put(shown(0))
    output._thread.join(PATIENCE)
    failure = output.figures().failure
    assert failure is not None
    assert "secret" not in failure.detail


def test_one_that_is_told_to_end_while_it_waits_never_starts_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("streams.output.backoff", lambda failures, chance: 60.0)
    opened = []

    def away() -> Memory:
        opened.append(1)
        raise SinkLost("nobody there")

    output = Output("one", away, 64, 64, room=8)
    until(lambda: output.figures().state == "retrying")
    output.close()
    assert output.figures().state == "ended"
    assert len(opened) == 1


def test_one_that_is_told_to_end_while_it_is_being_opened_again_shows_nothing_more() -> None:
    sinks: list[Memory] = []
    opening, opened = threading.Event(), threading.Event()

    def lost() -> None:
        raise SinkLost("the other side went away")

    def open_sink() -> Memory:
        if sinks:
            opening.set()
            opened.wait(PATIENCE)
        sinks.append(Memory() if sinks else Memory(lost))
        return sinks[-1]

    output = Output("one", open_sink, 64, 64, room=8)
    output.put(shown(0))
    assert opening.wait(PATIENCE)
    closing = threading.Thread(target=output.close)
    closing.start()
    until(lambda: output._closing)
    output.put(shown(1))
    opened.set()
    closing.join()
    assert len(sinks) == 2
    assert sinks[1].closed
    assert not sinks[1].pictures
    assert output.figures().state == "ended"


def test_what_was_never_there_is_told_and_what_was_there_is_waited_for() -> None:
    tries: list[int] = []

    def lost() -> None:
        if len(sink.pictures) == 1:
            raise SinkLost("it was pulled out")

    def open_sink() -> Memory:
        tries.append(1)
        if len(tries) in (2, 3):
            raise SinkError("there is no device")
        return sink

    sink = Memory(lost)
    output = Output("one", open_sink, 64, 64, room=8)
    output.put(shown(0))
    output.put(shown(1))
    until(lambda: len(tries) == 4)
    assert output.figures().losses == 3
    output.close()

    def absent() -> Memory:
        raise SinkError("there is no device")

    never = Output("two", absent, 64, 64, room=8)
    never._thread.join(PATIENCE)
    assert never.figures().state == "failed"
    never.close()


def test_a_picture_of_another_size_is_cut_and_scaled() -> None:
    sink = Memory()
    output = Output("one", lambda: sink, 64, 64, room=8)
    output.put(shown(7, width=128))  # under bypass a picture has the camera's size
    output.close()
    assert (sink.pictures[0].width, sink.pictures[0].height) == (64, 64)
    assert abs(level_of(sink.pictures[0]) - 7) < 3


def test_sound_goes_beside_the_pictures_and_holds_up_nobody() -> None:
    going = threading.Event()
    sink = Memory(lambda: bool(going.wait(PATIENCE)) and None)
    output = Output("one", lambda: sink, 64, 64, room=8)
    output.put(shown(0))
    until(lambda: not output._waiting)  # its sink hangs with the first
    began = time.monotonic()
    for number in range(1000):
        output.hear(Sound(number * 960, number / 50, str(number).encode()))
    took = time.monotonic() - began
    going.set()
    output.close()

    assert took < 5
    spoken = [(int(data), seconds) for data, seconds in sink.heard if data.isdigit()]
    assert [number for number, _ in spoken] == list(range(900, 1000))  # two seconds
    assert [seconds for _, seconds in spoken] == pytest.approx([n / 50 for n, _ in spoken])
