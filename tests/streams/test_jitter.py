import itertools
import random

from aiortc.rtp import RtpPacket

from streams.jitter import Frames, MarkerJitterBuffer, PatientNackGenerator, begins_key

KEY = b"\x10\x02\x00\x9d\x01\x2a\x40\x00\x40\x00"  # begins a VP8 key frame
DELTA = b"\x11\x02\x00"


class Clock:
    """Seconds that pass when told."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def packet(number: int, stamp: int, marker: bool, data: bytes = DELTA) -> RtpPacket:
    made = RtpPacket(sequence_number=number % 65536, timestamp=stamp, marker=int(marker))
    made._data = data  # type: ignore[attr-defined]  # aiortc's own
    return made


def test_a_whole_key_frame_is_shown_at_once_though_packets_before_it_are_missing() -> None:
    clock = Clock()
    buffer = MarkerJitterBuffer(512, is_video=True, clock=clock)
    assert buffer.add(packet(65530, 0, True))[1] is not None
    for number in (65532, 65533):  # 65531 is lost: nothing can be shown
        assert buffer.add(packet(number, 3000, number == 65533)) == (False, None)
    assert buffer.add(packet(65534, 6000, False, KEY)) == (False, None)
    wants_key, frame = buffer.add(packet(65535, 6000, True, b"rest"))
    assert not wants_key
    assert frame is not None
    assert (frame.timestamp, frame.data) == (6000, KEY + b"rest")

    # what comes late of before is dropped, and the stream goes on behind the key frame
    assert buffer.add(packet(65531, 3000, False)) == (False, None)
    following = buffer.add(packet(65536, 9000, True))[1]
    assert following is not None
    assert following.timestamp == 9000


def test_a_repair_that_is_far_too_late_does_not_start_the_stream_anew() -> None:
    buffer = MarkerJitterBuffer(512, is_video=True)
    for number in range(300):
        assert buffer.add(packet(number, number * 3000, True))[1] is not None
    assert buffer.add(packet(20, 60_000, True)) == (False, None)
    assert buffer.add(packet(300, 900_000, True))[1] is not None


def test_behind_a_hole_a_key_frame_is_asked_for_now_and_then() -> None:
    clock = Clock()
    buffer = MarkerJitterBuffer(512, is_video=True, clock=clock)
    buffer.add(packet(0, 0, True))
    asked = []
    for number in range(2, 62):  # 2 seconds at 30 a second; packet 1 never comes
        clock.now += 1 / 30
        if buffer.add(packet(number, number * 3000, True))[0]:
            asked.append(clock.now - 100)
    assert 0.3 < asked[0] < 0.42
    gaps = [later - at for at, later in itertools.pairwise(asked)]
    assert len(gaps) == 3
    assert all(0.5 <= gap < 0.57 for gap in gaps), gaps


def test_frames_that_waited_for_a_repair_come_with_it_and_keep_their_distance() -> None:
    buffer = MarkerJitterBuffer(512, is_video=True)
    start = 2**32 - 6000  # timestamps wrap on the way
    buffer.add(packet(0, start, True, b"0"))
    for number in (2, 3, 4):
        stamp = (start + number * 3000) % 2**32
        assert buffer.add(packet(number, stamp, True, b"%d" % number)) == (False, None)
    frames = buffer.add(packet(1, start + 3000, True, b"1"))[1]
    assert isinstance(frames, Frames)
    frames.timestamp = 3000  # as aiortc maps it: since the first frame
    assert [(f.data, f.timestamp) for f in frames.all()] == [
        (b"1", 3000), (b"2", 6000), (b"3", 9000), (b"4", 12_000),
    ]  # fmt: skip
    assert buffer.add(packet(5, 9000, True))[1] is not None


def test_a_slow_camera_is_no_hole() -> None:
    clock = Clock()
    buffer = MarkerJitterBuffer(512, is_video=True, clock=clock)
    for number in range(0, 30, 3):
        clock.now += 1
        for part in range(3):
            clock.now += 0.2
            wants_key, frame = buffer.add(packet(number + part, number * 3000, part == 2))
            assert not wants_key
            assert (frame is not None) == (part == 2)


def test_h264_key_frames_are_known_by_their_first_unit() -> None:
    assert begins_key(b"\0\0\0\1\x67" + b"sps")
    assert not begins_key(b"\0\0\0\1\x65" + b"idr")  # its SPS is before it
    assert not begins_key(b"\0\0\0\1\x41" + b"delta")
    assert not begins_key(b"\0\0\0\1")
    assert not begins_key(b"")
    assert not begins_key(DELTA)


def test_a_missing_packet_is_asked_for_again_and_given_up_after_a_second() -> None:
    clock = Clock()
    nack = PatientNackGenerator(clock)
    nack.add(packet(65534, 0, True))
    asked = []
    for number in range(65536, 65936):  # 65535 is lost
        if nack.add(packet(number, 0, True)):
            assert nack.missing == {65535}
            asked.append(clock.now - 100)
        clock.now += 0.005
    assert asked[0] == 0
    assert all(0.015 <= later - at < 0.05 for at, later in itertools.pairwise(asked)), asked
    assert 0.95 < asked[-1] < 1.01


def test_a_long_round_trip_makes_it_ask_more_rarely() -> None:
    clock = Clock()
    nack = PatientNackGenerator(clock)
    counts = []
    for number in range(0, 3000, 100):
        nack.add(packet(number, 0, True))
        asked = nack.add(packet(number + 2, 0, True))  # number + 1 comes after 400 ms
        for later in range(40):
            clock.now += 0.01
            asked += nack.add(packet(number + 3 + later, 0, True))
        counts.append(asked)
        nack.add(packet(number + 1, 0, True))
        for rest in range(number + 43, number + 100):
            nack.add(packet(rest, 0, True))
    assert counts[0] >= 10
    assert counts[-1] <= 4


def test_nothing_that_came_is_asked_for_and_what_is_asked_for_stays_bounded() -> None:
    clock, chance = Clock(), random.Random(3)
    nack = PatientNackGenerator(clock)
    came: set[int] = set()
    order = [n + chance.randrange(6) for n in range(2000)]
    for _, number in sorted(zip(order, range(2000), strict=True)):
        if chance.random() < 0.2:
            continue
        came.add(number)
        nack.add(packet(number, 0, True))
        assert not nack.missing & came
        assert len(nack.missing) <= 128
        clock.now += 0.005
    nack.add(packet(30_000, 0, True))
    nack.add(packet(30_001, 0, True))
    assert len(nack.missing) <= 128
