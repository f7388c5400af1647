"""A session's sound: it passes through as it came, late by what the picture takes.

Receivers set sound and picture against each other by the time at which each was sent (RTCP sender
reports), so sound that leaves beside the picture it belongs to is heard with it. Opus packets are
handed on as they are: nothing here decodes them.
"""

import asyncio
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import av
from aiortc import MediaStreamTrack
from aiortc.mediastreams import MediaStreamError

_ROOM = 50  # packets, a second; what a reader leaves lying longer is not worth hearing
_SLEW = 0.005  # seconds that the delay moves with each packet: a receiver stretches that unheard
_MOST = 2.0  # seconds; a picture that is later than that is not waited for
CLOCK = Fraction(1, 48000)  # of every Opus stream in RTP (RFC 7587)
PACKET = 960  # units of it; 20 ms, as browsers send and we make


@dataclass(frozen=True, slots=True)
class Sound:
    """One encoded packet as it arrived."""

    pts: int  # in units of CLOCK, as the sender stamped it
    arrived: float  # time.monotonic() when the network handed it over; of a film: when it is due
    data: bytes  # Opus


Listener = Callable[[Sound], None]  # on the loop; must not wait


class SoundDesk(ABC):
    """Takes the packets that come in and hands them out when it is time. Lives on the loop."""

    def __init__(self) -> None:
        self._listeners: tuple[Listener, ...] = ()

    def add(self, listener: Listener) -> None:
        """Let a listener have the sound from now on."""
        self._listeners = (*self._listeners, listener)

    def remove(self, listener: Listener) -> None:
        """Leave a listener out; one that is not there is no error."""
        self._listeners = tuple(each for each in self._listeners if each != listener)

    @abstractmethod
    def put(self, sound: Sound) -> None:
        """Take a packet; never waits."""

    def _hand_out(self, sound: Sound) -> None:
        for listener in self._listeners:
            listener(sound)


class LipSync(SoundDesk):
    """Holds each packet for as long as a picture of the same moment takes. Lives on the loop."""

    def __init__(self, age: Callable[[], float | None]) -> None:
        """`age` says how old a picture is when it is sent, in seconds; None: there was none."""
        super().__init__()
        self.muted = False
        self.delay = 0.0  # seconds
        self._age = age
        self._started = False
        self._last_due = 0.0
        self._loop = asyncio.get_running_loop()

    def put(self, sound: Sound) -> None:
        """Take a packet; it reaches the listeners when its picture is sent."""
        if self.muted or not self._listeners:
            return
        wanted = min(self._age() or 0.0, _MOST)
        change = wanted - self.delay
        self.delay += max(-_SLEW, min(change, _SLEW)) if self._started else change
        self._started = True
        self._last_due = max(self._last_due, sound.arrived + self.delay)  # never out of order
        # this loop's clock is the monotonic one, too, but need not begin at the same time
        wait = max(0.0, self._last_due - time.monotonic())
        self._loop.call_later(wait, self._hand_out, sound)

    def _hand_out(self, sound: Sound) -> None:
        if not self.muted:
            super()._hand_out(sound)


class SoundTrack(MediaStreamTrack):
    """Gives packets to one receiver, in order; of what it leaves lying the newest second stays."""

    kind = "audio"

    def __init__(self) -> None:
        super().__init__()
        self._packets: deque[Sound] = deque(maxlen=_ROOM)
        self._changed = asyncio.Event()

    def put(self, sound: Sound) -> None:
        """Leave a packet; never waits."""
        self._packets.append(sound)
        self._changed.set()

    async def recv(self) -> "av.Packet[Any]":
        """Wait for the next packet. Raises MediaStreamError at the end, and nothing else."""
        while not self._packets:
            if self.readyState != "live":
                raise MediaStreamError
            self._changed.clear()
            await self._changed.wait()
        sound = self._packets.popleft()
        packet: av.Packet[Any] = av.Packet(sound.data)
        packet.pts, packet.time_base = sound.pts, CLOCK
        return packet

    def stop(self) -> None:
        """End: `recv` raises from now on."""
        super().stop()
        self._packets.clear()
        self._changed.set()
