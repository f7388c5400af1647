"""An output's sound: where each packet stands beside the pictures, and silence where none came.

Files and streams carry times, so sound is not held for them as it is for WebRTC (sound.py): it gets
the time of the picture that arrived with it.
"""

from dataclasses import dataclass

from streams.sound import CLOCK, Sound

SILENCE = b"\xf8\xff\xfe"  # a packet of Opus: 20 ms, nothing in it (RFC 6716 section 3.1)
_LASTS = 0.02  # seconds of it
_HOLE = 0.12  # seconds; no packet of Opus is longer, so more without one is a hole
_PATIENCE = 1.0  # seconds that sound may be behind the pictures before it is taken for missing
_QUIET = 2.0  # seconds without a packet, after which none is waited for
_SMOOTH, _JUMP = 0.02, 0.5  # share of each look that counts; seconds that are no jitter


@dataclass(frozen=True, slots=True)
class Heard:
    """A packet of Opus and when it is heard, in seconds since the output's first picture."""

    seconds: float
    data: bytes


class Soundtrack:
    """Sets sound beside pictures. Always has some: services want it, and it may begin later."""

    def __init__(self) -> None:
        self._pictures, self._sound = _Clock(), _Clock()
        self._last = -_LASTS  # seconds at which the last packet begins
        self._shown, self._spoke = 0.0, -_QUIET  # of the last picture; when a packet came last

    def picture(self, arrived: float, seconds: float) -> list[Heard]:
        """Note where a picture stands and when it arrived; give the silence that is due by now."""
        self._pictures.look(arrived, seconds)
        self._shown = seconds
        if seconds - self._spoke < _QUIET:
            return self._silence(seconds - _PATIENCE, _HOLE)
        return self._silence(seconds, 0)

    def packet(self, sound: Sound) -> list[Heard]:
        """Give a packet its time, and the silence before it; nothing when it comes too late."""
        its = float(sound.pts * CLOCK)
        self._sound.look(sound.arrived, its)
        if not self._pictures.looks or not sound.data:  # no data would end a decoder
            return []
        self._spoke = self._shown  # also if this one is too late: the next ones are waited for
        seconds = its + self._sound.ahead - self._pictures.ahead
        if seconds < 0 or seconds <= self._last:
            return []
        silence = self._silence(seconds, _HOLE)
        self._last = seconds
        return [*silence, Heard(seconds, sound.data)]

    def _silence(self, until: float, hole: float) -> list[Heard]:
        found: list[Heard] = []
        if until - self._last > hole:
            while self._last + 2 * _LASTS <= until:
                self._last += _LASTS
                found.append(Heard(self._last, SILENCE))
        return found


class _Clock:
    """How far arrivals are ahead of a sender's clock, smoothed: the network's jitter is no time."""

    def __init__(self) -> None:
        self.ahead, self.looks = 0.0, 0

    def look(self, arrived: float, seconds: float) -> None:
        ahead = arrived - seconds
        if not self.looks or abs(ahead - self.ahead) > _JUMP:  # another clock, as of a new device
            self.ahead, self.looks = ahead, 0
        self.looks += 1
        self.ahead += max(_SMOOTH, 1 / self.looks) * (ahead - self.ahead)
