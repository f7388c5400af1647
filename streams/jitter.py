"""Frames from the packets of a live camera, over a link that loses some.

Both classes take the place of aiortc's own (streams/aiortc_patches). What aiortc lacks: it waits
with a frame for the next one, asks once for what is missing, and stands still behind a hole until
512 packets have piled up.
"""

import time
from collections.abc import Callable

from aiortc.jitterbuffer import JitterBuffer, JitterFrame
from aiortc.rtp import RtpPacket
from aiortc.utils import uint16_add, uint16_gt, uint32_add, uint32_gt

_PATIENCE = 0.3  # seconds behind a hole, then a key frame is asked for
_KEY_AGAIN = 0.5  # seconds between two such requests
# A packet is asked for again after so much of a round trip, but within these seconds. Less than a
# whole one: at 20 % each way a third of the repairs fails, and a freeze costs more than a packet.
_ASK_AGAIN, _LEAST, _MOST = 0.4, 0.015, 0.2
_GIVE_UP = 1.0  # seconds after which a packet is of no use any more
_MOST_MISSING = 128  # packets; a sender keeps no more
_LATE = 2000  # packets that one may come late; further back is a sender that began anew


class Frames(JitterFrame):
    """A frame and those that became whole with it.

    aiortc takes one a packet, so frames that waited for a repair would stay behind for ever where a
    frame is a packet. It maps the timestamp of the first; the others follow by their distance.
    """

    def __init__(self, frames: list[JitterFrame]) -> None:
        super().__init__(frames[0].data, frames[0].timestamp)
        self._came_as, self._more = frames[0].timestamp, frames[1:]

    def all(self) -> list[JitterFrame]:
        """Give every frame, with mapped timestamps."""
        first = JitterFrame(self.data, self.timestamp)
        return [first] + [
            JitterFrame(frame.data, self.timestamp + uint32_add(frame.timestamp, -self._came_as))
            for frame in self._more
        ]


class MarkerJitterBuffer(JitterBuffer):
    """Gives a frame out when its last packet is there, not when the next frame begins.

    aiortc ignores the RTP marker bit, which costs one frame interval (33 ms at 30 fps). Here a
    frame ends at its marker, or at a change of timestamp as before. It is given out only when
    all packets from the oldest expected one on are there, so loss and reordering are waited for
    just as in aiortc; but a whole key frame behind a hole needs nothing before it.

    Sound is given out packet by packet: aiortc holds four of them, 80 ms, and who plays it has a
    buffer of his own. What comes after a later one is dropped.
    """

    def __init__(
        self,
        capacity: int,
        prefetch: int = 0,
        is_video: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(capacity, prefetch, is_video)
        self._clock = clock
        self._newest = 0  # sequence number
        self._heard: int | None = None  # sequence number of the last packet of sound
        self._given: int | None = None  # timestamp of the last frame
        self._blocked_at: float | None = None
        self._asked_at = -_KEY_AGAIN

    def add(self, packet: RtpPacket) -> tuple[bool, JitterFrame | None]:
        """Take a packet; say whether a key frame is needed, and give a frame if one is whole."""
        if not self._is_video:
            return False, self._sound(packet)
        if self._is_late(packet):
            return False, None
        if self._origin is None or uint16_gt(packet.sequence_number, self._newest):
            self._newest = packet.sequence_number
        wants_key, frame = super().add(packet)
        if frame is None and self._has_hole():
            frame = self._key_frame()
            wants_key = wants_key or (frame is None and self._is_stuck())
        else:
            self._blocked_at = None
        return wants_key, frame and self._with_following(frame)

    def _sound(self, packet: RtpPacket) -> JitterFrame | None:
        if self._heard is not None and uint16_gt(self._heard, packet.sequence_number):
            return None
        self._heard = packet.sequence_number
        data: bytes = packet._data  # type: ignore[attr-defined]  # aiortc's
        return JitterFrame(data=data, timestamp=packet.timestamp)

    def _with_following(self, frame: JitterFrame) -> JitterFrame:
        frames = [frame]
        while (following := self._frame_from(0, ends_with_next=True)) is not None:
            frames.append(following)
        return frame if len(frames) == 1 else Frames(frames)

    def _remove_frame(self, sequence_number: int) -> JitterFrame | None:
        return self._frame_from(0, ends_with_next=True)

    def _frame_from(self, start: int, ends_with_next: bool) -> JitterFrame | None:
        """Give the frame that begins so many packets from the origin, if it is whole."""
        assert self._origin is not None
        packets: list[RtpPacket] = []
        for count in range(start, self.capacity):
            packet = self._packets[(self._origin + count) % self.capacity]
            if packet is None:
                return None
            if packets and packet.timestamp != packets[0].timestamp:
                return self._give(start, packets) if ends_with_next else None
            packets.append(packet)
            if packet.marker:
                return self._give(start, packets)
        return None

    def _give(self, start: int, packets: list[RtpPacket]) -> JitterFrame:
        self.remove(start + len(packets))
        self._given = packets[0].timestamp
        data = b"".join(packet._data for packet in packets)  # type: ignore[attr-defined]  # aiortc's
        return JitterFrame(data=data, timestamp=packets[0].timestamp)

    def _is_late(self, packet: RtpPacket) -> bool:
        """Say whether a packet belongs to what was given or skipped; aiortc would begin anew."""
        if self._origin is None or self._given is None:
            return False
        behind = uint16_add(self._origin, -packet.sequence_number)
        return 0 < behind < _LATE and not uint32_gt(packet.timestamp, self._given)

    def _has_hole(self) -> bool:
        assert self._origin is not None
        waiting = uint16_add(self._newest, -self._origin) + 1
        if waiting > self.capacity:  # the newest was given: nothing waits
            return False
        places = ((self._origin + count) % self.capacity for count in range(waiting))
        return any(self._packets[place] is None for place in places)

    def _key_frame(self) -> JitterFrame | None:
        """Give a whole key frame from behind the hole; what is before it is not needed any more."""
        assert self._origin is not None
        for start in range(self.capacity):
            packet = self._packets[(self._origin + start) % self.capacity]
            if packet is None or not begins_key(packet._data):  # type: ignore[attr-defined]  # aiortc's
                continue
            frame = self._frame_from(start, ends_with_next=False)
            if frame is not None:
                self._blocked_at = None
                return frame
        return None

    def _is_stuck(self) -> bool:
        """Say whether it is time to ask for a key frame."""
        now = self._clock()
        if self._blocked_at is None:
            self._blocked_at = now
        if now - self._blocked_at < _PATIENCE or now - self._asked_at < _KEY_AGAIN:
            return False
        self._asked_at = now
        return True


def begins_key(data: bytes) -> bool:
    """Say whether a packet's bytes, without RTP's own, begin a key frame of VP8 or H.264."""
    if data[:4] == b"\0\0\0\1":
        return len(data) > 4 and data[4] & 0x1F == 7  # the SPS, which comes with each IDR
    # RFC 6386 section 9.1: the inverse key frame bit, and the start code
    return len(data) > 5 and not data[0] & 1 and data[3:6] == b"\x9d\x01\x2a"


class PatientNackGenerator:
    """Asks for missing packets until they come or are of no use: a repair may be lost as well.

    aiortc reads `missing` when `add` says yes; here it holds those that are due to be asked for.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.missing: set[int] = set()
        self._clock = clock
        self._newest: int | None = None
        self._lost: dict[int, tuple[float, float]] = {}  # since when, and when to ask again
        self._round_trip = 0.05  # seconds from asking to the repair, a running mean

    def add(self, packet: RtpPacket) -> bool:
        """Note a packet; say whether some are to be asked for now."""
        number, now = packet.sequence_number, self._clock()
        if self._newest is None:
            self._newest = number
        elif uint16_gt(number, self._newest):
            gap = min(uint16_add(number, -self._newest) - 1, _MOST_MISSING)
            for behind in range(gap, 0, -1):
                self._lost[uint16_add(number, -behind)] = (now, now)
            self._newest = number
        elif number in self._lost:
            since, _ = self._lost.pop(number)
            took = now - since  # with every repetition: short ones tell more of the round trip
            self._round_trip += (took - self._round_trip) / (2 if took < self._round_trip else 32)
        self.missing = self._due(now) if self._lost else set()
        return bool(self.missing)

    def _due(self, now: float) -> set[int]:
        due = set()
        again = min(max(_ASK_AGAIN * self._round_trip, _LEAST), _MOST)
        for number, (since, at) in list(self._lost.items()):
            if now - since > _GIVE_UP or len(self._lost) > _MOST_MISSING:
                del self._lost[number]  # the oldest come first
            elif at <= now:
                due.add(number)
                self._lost[number] = (since, now + again)
        return due
