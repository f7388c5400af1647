"""THE engine thread: takes frames from the mailbox, ticks the engine, hands results over."""

import contextlib
import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future

from pipeline.config import Size
from pipeline.errors import PipelineError
from pipeline.params import StyleParams
from pipeline.results import EngineInfo
from streams.convert import to_rgb
from streams.delivery import Admitted, Deliver, Delivery, untouched
from streams.errors import EngineAway
from streams.frame import Frame, SessionId
from streams.given_time import GivenTime
from streams.mailbox import Letter, Mailbox
from streams.matte import Matte, is_marked, split
from streams.patience import Patience
from streams.protocol import EngineForSession, EngineState, Image, Revivable, Stylizer
from streams.quarantine import Quarantine

logger = logging.getLogger(__name__)


class Worker:
    """Owns the engine: builds it in its own thread and is the only one that runs it."""

    def __init__(
        self, build: Callable[[], Stylizer], give_up: Callable[[], None] = lambda: None
    ) -> None:
        """`give_up` makes `build` fail soon, from another thread: nobody waits for it any more."""
        self.ready: Future[EngineInfo] = Future()  # fails with what `build` raised
        self._give_up = give_up
        self._build = build
        self._engine: Stylizer | None = None
        self._revivable: Revivable | None = None  # the engine, if it may be away
        self._mailbox = Mailbox()
        self._quarantine = Quarantine()
        self._delivery = Delivery()
        self._known: set[SessionId] = set()  # sessions open in the engine; engine thread only
        self._admitted: dict[tuple[SessionId, int], Admitted] = {}
        self._given = GivenTime()
        self._patience = Patience(self._given)
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)

    def start(self) -> None:
        """Start loading; `ready` tells when and what."""
        self._given.start()
        self._thread.start()

    def close(self) -> None:
        """End the thread. Blocks: from async code, await asyncio.to_thread(worker.close)."""
        self._mailbox.shut()
        if not self.ready.done():
            self._give_up()
        if self._thread.is_alive():
            self._thread.join()
        self._delivery.end()
        self._given.close()

    def open(self, session: SessionId, style: StyleParams, deliver: Deliver) -> None:
        """Begin a session; `deliver` is called from the delivery thread or from `put`."""
        self._quarantine.come(session)
        self._mailbox.open(session, style)
        self._delivery.open(session, deliver)

    def close_session(self, session: SessionId) -> None:
        """End a session; frames still in flight are dropped."""
        self._delivery.close(session)
        self._mailbox.close(session)
        self._quarantine.leave(session)

    def put(self, session: SessionId, frame: Frame) -> None:
        """Hand in a frame; never waits. It comes back at once, untouched, under bypass, while the
        engine is stuck in a call, and where its session is kept out.
        """
        recipient, style = self._delivery.recipient(session), self._mailbox.style(session)
        if recipient is None or style is None:
            return
        if style.bypass:
            recipient.deliver(untouched(frame, self._mailbox.is_paired(session)))
        elif self._patience.is_over or self._quarantine.holds(session):
            self._delivery.pass_through(recipient, frame, self._mailbox.is_paired(session))
        else:
            self._mailbox.put(session, frame)

    def prepare(self, style: StyleParams) -> str | None:
        """Encode prompts ahead; give a hint for the user if there is one.

        Blocks: from async code, await asyncio.to_thread(...).
        """
        return None if self._engine is None else self._engine.prepare(style)

    def prepare_size(self, session: SessionId, size: Size) -> None:
        """Make a size ready. Blocks, up to seconds. Raises ConfigError, NoRoom, EngineAway."""
        if self._engine is None:
            return
        try:
            self._engine.prepare_size(session, size)
        finally:
            self._mailbox.close_again(session)

    @property
    def engine_state(self) -> EngineState:
        """Say whether the engine runs; one in a process of its own may be away."""
        state: EngineState = "running" if self._revivable is None else self._revivable.state
        return "stuck" if state == "running" and self._patience.is_over else state

    def engine_for(self, session: SessionId) -> EngineForSession:
        """Say whether the engine is there for a session; any other state: it is untouched."""
        state = self.engine_state
        return "held" if state == "running" and self.holds(session) else state

    @property
    def failures(self) -> int:
        """Count frames that the engine could not do and that passed through."""
        return self._delivery.failures

    @property
    def engine_losses(self) -> int:
        """Count how often the engine's process died or was killed."""
        return 0 if self._revivable is None else self._revivable.losses

    def revive(self) -> None:
        """Let an engine that was given up start once more; without effect on any other."""
        if self._revivable is not None and self._revivable.state == "failed":
            self._quarantine.clear()
            self._revivable.revive()

    def holds(self, session: SessionId) -> bool:
        """Say whether a session is kept out: the engine was lost again and again with its frames.

        Another style or size lets it in.
        """
        return self._quarantine.holds(session)

    def restyle(self, session: SessionId, style: StyleParams) -> int:
        """Change a session's style; give the first input frame that it holds for."""
        first = self._mailbox.restyle(session, style)
        self._quarantine.change(session)
        return first

    def resize(self, session: SessionId, size: Size) -> int:
        """Change the size to one that is ready; give the first input frame that it holds for."""
        self._patience.allow(self._seconds_at(size))
        first = self._mailbox.resize(session, size)
        self._quarantine.change(session)
        return first

    def pair(self, session: SessionId, paired: bool) -> int:
        """Look for a matte beside the colour, or not; give the first input frame that is so."""
        return self._mailbox.pair(session, paired)

    def dropped(self, session: SessionId) -> int:
        """Count input frames that a newer one replaced before their turn."""
        return self._mailbox.dropped(session)

    def _run(self) -> None:
        try:
            engine = self._engine = self._build()
        except Exception as error:
            if self._mailbox.is_shut:
                self.ready.cancel()
                return
            if not isinstance(error, PipelineError):  # that is a sentence, which `serve` says
                logger.exception("the engine could not be built")
            self.ready.set_exception(error)
            return
        self._revivable = engine if isinstance(engine, Revivable) else None
        self.ready.set_result(engine.info)
        self._patience.allow(self._seconds_at((engine.info.width, engine.info.height)))
        while not self._mailbox.is_shut:
            try:
                self._turn(engine)
            except Exception:  # whatever it was, the next frames get their turn
                logger.exception("a turn of the engine thread failed")
            self._patience.rest()

    def _seconds_at(self, size: Size) -> float:
        info = self.ready.result()
        return size[0] * size[1] / (info.width * info.height) * info.ms_per_frame / 1e3

    def _turn(self, engine: Stylizer) -> None:
        self._quarantine.turn(self._admitted)
        letter = self._next(engine, timeout=0 if engine.in_flight else 1.0)
        while letter is not None:
            self._patience.begin()
            self._admit(engine, letter)
            letter = self._next(engine, timeout=0)
        if engine.in_flight:
            self._patience.begin()
            self._tick(engine)
            self._patience.learn()

    def _next(self, engine: Stylizer, timeout: float) -> Letter | None:
        """Take the next frame that goes in; close sessions that have ended meanwhile."""
        mail = self._mailbox.take(
            timeout,
            lambda session, style: (
                (session not in self._known or engine.wants(session, style.steps))
                and self._quarantine.lets_in(session)
            ),
        )
        self._patience.begin()
        for session in mail.closed:
            self._known.discard(session)
            with contextlib.suppress(EngineAway):
                engine.close(session)
            self._admitted = {k: v for k, v in self._admitted.items() if k[0] != session}
        return mail.letter

    def _admit(self, engine: Stylizer, letter: Letter) -> None:
        session, number, losses = letter.session, letter.frame.number, self.engine_losses
        recipient = self._delivery.recipient(session)
        if recipient is None:
            return  # it has just left
        its = Admitted(letter, recipient)
        try:
            if not self._quarantine.holds(session):
                self._submit(engine, its)
                return
        except EngineAway:  # told once, by the guardian
            self._note_loss(losses, session)
        except Exception:
            logger.exception("session %s: frame %d could not be admitted", session, number)
        self._admitted.pop((session, number), None)
        self._delivery.hand_over([(its, None)])

    def _submit(self, engine: Stylizer, its: Admitted) -> None:
        letter, taken = its.letter, time.monotonic_ns()
        session, frame = letter.session, letter.frame
        if session not in self._known:
            engine.open(session)
            self._known.add(session)
        size = letter.size or (engine.config.width, engine.config.height)
        its.image, its.matte = _taken_apart(letter, size)
        its.stages_ms = {
            "wait": (taken - frame.arrived_ns) / 1e6,
            "convert_in": (time.monotonic_ns() - taken) / 1e6,
        }
        self._admitted[session, frame.number] = its
        engine.submit(session, frame.number, its.image, letter.style, letter.since_ns / 1e9)

    def _tick(self, engine: Stylizer) -> None:
        losses = self.engine_losses
        try:
            results = engine.tick()
        except Exception:
            self._note_loss(losses)
            logger.exception("a network call failed; %d frames pass through", len(self._admitted))
            self._start_over(engine)
            return
        if results:
            done = [self._admitted.pop((SessionId(r.session), r.number)) for r in results]
            self._delivery.hand_over(list(zip(done, results, strict=True)))

    def _start_over(self, engine: Stylizer) -> None:
        """Drop all in flight, as whose row a call failed at cannot be told; next frames go in."""
        admitted, self._admitted = self._admitted, {}
        known, self._known = self._known, set()
        for session in known:
            with contextlib.suppress(EngineAway):
                engine.drop(session)
        self._delivery.hand_over([(lost, None) for lost in admitted.values()])

    def _note_loss(self, before: int, *coming: SessionId) -> None:
        """Suspect whose frames were in the engine if a call just lost it: not if it was away."""
        if self.engine_losses == before:
            return
        inside = {*coming, *(session for session, _ in self._admitted)}
        culprit = self._quarantine.lost({each for each in inside if self._delivery.recipient(each)})
        if culprit is not None:
            logger.warning(
                "session %s: its frames pass through until its style or size changes: "
                "the engine was lost twice with them",
                culprit,
            )


def _taken_apart(letter: Letter, size: Size) -> tuple[Image, Matte | None]:
    picture = letter.frame.picture
    if letter.paired and is_marked(picture):
        return split(picture, *size)
    return to_rgb(picture, *size), None
