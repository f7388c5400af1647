"""One more place that a session's pictures and sound go to, in a thread of its own."""

import logging
import random
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import av

from streams.convert import fit
from streams.errors import SinkError, SinkLost
from streams.frame import Restyled
from streams.matte import Colour, over
from streams.pacing import Elapsed, backoff
from streams.sinks.protocol import Sink
from streams.sound import Sound
from streams.soundtrack import Heard, Soundtrack

logger = logging.getLogger(__name__)

Backdrop = Colour | Literal["camera"]  # the camera: the very frame that was restyled
OutputStateName = Literal["starting", "live", "retrying", "failed", "ended"]
_STEADY = 10.0  # seconds that a sink lives until its past failures are forgotten
_SOUND_ROOM = 100  # packets, two seconds
_CLOSING = 7.0  # seconds; longer than any sink may block


@dataclass(frozen=True, slots=True)
class Failure:
    """What went wrong last, for people; the log has the same id."""

    id: str
    detail: str


@dataclass(frozen=True, slots=True)
class OutputFigures:
    """How an output does."""

    state: OutputStateName
    frames: int  # written
    dropped: int  # pictures that came while it was behind or away
    seconds: float  # from the first picture written to the last, without what was away
    bytes: int
    losses: int  # how often it went away, or was not there when it was tried
    failure: Failure | None  # of the state, or the last one before it came back


class Output:
    """Feeds one sink and opens it again when it is lost. Ends when told, or when nothing helps."""

    def __init__(
        self,
        name: str,
        open_sink: Callable[[], Sink],
        width: int,
        height: int,
        room: int,
        backdrop: Backdrop = (0, 0, 0),
    ) -> None:
        """`backdrop` is what shows where a matte says that nothing is."""
        self._open, self._size, self._room = open_sink, (width, height), room
        self._backdrop = backdrop
        self._waiting: deque[Restyled] = deque()
        self._sound: deque[Sound] = deque(maxlen=_SOUND_ROOM)
        self._changed = threading.Condition()
        self._closing = False
        self._last_number = -1
        self._state: OutputStateName = "starting"
        self._frames = self._dropped = self._bytes = self._losses = 0
        self._seconds = 0.0
        self._failure: Failure | None = None
        self._name = name
        self._thread = threading.Thread(target=self._run, name=f"output-{name}", daemon=True)
        self._thread.start()

    def put(self, shown: Restyled) -> None:
        """Leave a picture; from any thread, never waits. The oldest goes when there is no room."""
        with self._changed:
            if self._closing or self._state in ("failed", "ended"):
                return
            if shown.source.number <= self._last_number:
                return  # bypass was switched on while an older frame was in the engine
            self._last_number = shown.source.number
            if len(self._waiting) >= self._room:
                self._waiting.popleft()
                self._dropped += 1
            self._waiting.append(shown)
            self._changed.notify()

    def hear(self, sound: Sound) -> None:
        """Leave a packet of sound; from any thread, never waits. The oldest goes likewise."""
        with self._changed:
            if not self._closing and self._state not in ("failed", "ended"):
                self._sound.append(sound)
                self._changed.notify()

    def figures(self) -> OutputFigures:
        """Say how it does; from any thread."""
        with self._changed:
            return OutputFigures(
                self._state, self._frames, self._dropped, self._seconds, self._bytes,
                self._losses, self._failure,
            )  # fmt: skip

    def close(self) -> None:
        """Write what waits and end. Blocks: from async code, await asyncio.to_thread(...)."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join(_CLOSING)
        if self._thread.is_alive():
            logger.warning("output %s does not end; it is left behind", self._name)

    def _run(self) -> None:
        failures = 0
        while True:
            began = time.monotonic()
            try:
                self._feed(self._opened())
                return
            except SinkLost as error:
                failures = 1 if time.monotonic() - began > _STEADY else failures + 1
                self._fail("retrying", str(error))
            except SinkError as error:
                self._fail("failed", str(error))
                return
            except Exception:
                self._fail("failed", "something failed here; the log has more")
                logger.exception("output %s failed", self._name)
                return
            if self._closed_within(backoff(failures, random.random())):
                return

    def _opened(self) -> Sink:
        """Open the sink. Raises SinkError; SinkLost also where one that was there has gone."""
        try:
            return self._open()
        except SinkError as error:
            if self._frames == 0:
                raise
            raise SinkLost(str(error)) from error

    def _feed(self, sink: Sink) -> None:
        """Write pictures and sound until told to end. Raises SinkError."""
        elapsed, soundtrack = Elapsed(), Soundtrack()
        before, sent = self._seconds, self._bytes
        with self._changed:
            self._state = "live"
        try:
            while (item := self._next()) is not None:
                if isinstance(item, Sound):
                    _play(sink, soundtrack.packet(item))
                    continue
                source = item.source
                seconds = elapsed.at(float(source.pts * source.time_base))
                _play(sink, soundtrack.picture(source.arrived_ns / 1e9, seconds))
                sink.write(fit(self._whole(item), *self._size), seconds)
                with self._changed:
                    self._frames += 1
                    self._seconds, self._bytes = before + seconds, sent + sink.bytes
        finally:
            sink.close()
            with self._changed:
                self._bytes = sent + sink.bytes

    def _whole(self, shown: Restyled) -> av.VideoFrame:
        """Give what shows where nothing can be transparent."""
        if not shown.paired:
            return shown.picture
        behind = shown.source.picture if self._backdrop == "camera" else self._backdrop
        return over(shown.picture, behind)

    def _next(self) -> Restyled | Sound | None:
        """Wait for what arrived first of what waits; None at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._sound or self._closing)
            if self._sound and not self._picture_is_first():
                return self._sound.popleft()
            if self._waiting:
                return self._waiting.popleft()
            self._state = "ended"
            return None

    def _picture_is_first(self) -> bool:
        if not self._waiting:
            return False
        return self._waiting[0].source.arrived_ns / 1e9 < self._sound[0].arrived

    def _fail(self, state: OutputStateName, detail: str) -> None:
        failure = Failure(secrets.token_hex(4), detail)
        logger.warning("output %s, failure %s: %s", self._name, failure.id, detail)
        with self._changed:
            self._state, self._failure = state, failure
            self._losses += 1
            if state == "failed":
                self._waiting.clear()
                self._sound.clear()

    def _closed_within(self, seconds: float) -> bool:
        with self._changed:
            if self._changed.wait_for(lambda: self._closing, seconds):
                self._state = "ended"
            return self._closing


def _play(sink: Sink, packets: list[Heard]) -> None:
    for packet in packets:
        sink.hear(packet)
