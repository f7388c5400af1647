"""Frames on their way out, in a thread of its own: the engine's next call runs meanwhile."""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field

from pipeline.flicker import FlickerMeter
from streams.convert import to_picture
from streams.frame import Frame, Restyled, SessionId
from streams.mailbox import Letter
from streams.matte import Matte, is_marked, join
from streams.protocol import Image, Result

logger = logging.getLogger(__name__)
Deliver = Callable[[Restyled], None]


@dataclass(eq=False, slots=True)
class Recipient:
    """Whose frames they are: a session that comes back under its id is another one."""

    session: SessionId
    deliver: Deliver
    flicker: FlickerMeter = field(default_factory=FlickerMeter)  # delivery thread only


@dataclass(slots=True)
class Admitted:
    """What a frame in the engine leaves behind."""

    letter: Letter
    recipient: Recipient
    # from when it was taken apart:
    image: Image = field(init=False)
    matte: Matte | None = field(init=False)  # of this very frame
    stages_ms: dict[str, float] = field(init=False)


class Delivery:
    """Knows who gets what, and gives it to them.

    One batch is on its way at most: whoever hands over the next one waits for it, so nothing queues
    up and each session's frames stay in order.
    """

    def __init__(self) -> None:
        self.failures = 0  # frames that the engine could not do and that passed through
        self._counting = threading.Lock()  # they pass through in two threads
        self._recipients: dict[SessionId, Recipient] = {}  # replaced whole on each change
        self._thread = ThreadPoolExecutor(1, "delivery")
        self._last: Future[None] | None = None  # the batch on its way

    def open(self, session: SessionId, deliver: Deliver) -> None:
        """Begin a session; `deliver` gets its frames."""
        self._recipients = {**self._recipients, session: Recipient(session, deliver)}

    def close(self, session: SessionId) -> None:
        """End a session: what is on its way to it is dropped."""
        self._recipients = {k: v for k, v in self._recipients.items() if k != session}

    def end(self) -> None:
        """End the thread, once it has given what it was handed. Blocks."""
        self._thread.shutdown()

    def recipient(self, session: SessionId) -> Recipient | None:
        """Give who gets a session's frames; None when it has ended. Any thread may ask."""
        return self._recipients.get(session)

    def hand_over(self, batch: Sequence[tuple[Admitted, Result | None]]) -> None:
        """Begin to deliver frames, those without a result untouched, after the last batch.

        For one thread, the engine's.
        """
        if self._last is not None:
            wait([self._last])
        self._last = self._thread.submit(self._deliver, batch)

    def pass_through(self, recipient: Recipient, frame: Frame, paired: bool) -> None:
        """Give a frame that the engine cannot do; at once, in the thread that asks."""
        with self._counting:
            self.failures += 1
        self._give(recipient, untouched(frame, paired))

    def _deliver(self, batch: Sequence[tuple[Admitted, Result | None]]) -> None:
        for its, result in batch:
            frame = its.letter.frame
            try:
                shown = None if result is None else self._shown_or_none(its, result)
                if shown is None:
                    self.pass_through(its.recipient, frame, its.letter.paired)
                else:
                    self._give(its.recipient, shown)
            except Exception:  # the others are still to be given
                session = its.recipient.session
                logger.exception("session %s: frame %d was not taken", session, frame.number)

    def _shown_or_none(self, its: Admitted, result: Result) -> Restyled | None:
        try:
            return _shown(its, result)
        except Exception:
            session, number = its.recipient.session, result.number
            logger.exception("session %s: frame %d could not be shown", session, number)
            return None

    def _give(self, recipient: Recipient, restyled: Restyled) -> None:
        if self._recipients.get(recipient.session) is recipient:
            recipient.deliver(restyled)


def untouched(frame: Frame, paired: bool) -> Restyled:
    """Give the very frame; one with a matte is what viewers expect already."""
    return Restyled(frame, frame.picture, {}, paired=paired and is_marked(frame.picture))


def _shown(its: Admitted, result: Result) -> Restyled:
    started = time.monotonic_ns()
    picture = to_picture(result.image) if its.matte is None else join(result.image, its.matte)
    stages = its.stages_ms | result.stages_ms
    stages["convert_out"] = (time.monotonic_ns() - started) / 1e6
    flicker = its.recipient.flicker.measure(its.image, result.image)
    paired = its.matte is not None
    return Restyled(its.letter.frame, picture, stages, result.skipped, flicker, paired)
