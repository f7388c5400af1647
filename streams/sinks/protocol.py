"""What an output's thread drives: `Recording`, `LiveStream` and `VirtualCamera` are some."""

from typing import Protocol

import av

from streams.soundtrack import Heard


class Sink(Protocol):
    """A place that pictures go to, open from its making on. All may block; one thread calls it."""

    @property
    def bytes(self) -> int:
        """What went out so far; 0 where nothing is encoded."""

    def write(self, picture: av.VideoFrame, seconds: float) -> None:
        """Take an I420 picture of the agreed size, its own; `seconds` after the first one.

        Raises SinkLost when another try may help, SinkError when none will.
        """

    def hear(self, packet: Heard) -> None:
        """Take a packet of Opus. Raises as `write` does."""

    def close(self) -> None:
        """End it, playable where it is a file; takes seconds at most and raises nothing."""
