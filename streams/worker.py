"""THE engine thread: takes frames from the mailbox, ticks the engine, delivers results."""

import contextlib
import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass

from pipeline.config import Size
from pipeline.errors import PipelineError
from pipeline.flicker import FlickerMeter
from pipeline.params import StyleParams
from pipeline.results import EngineInfo
from streams.convert import to_picture, to_rgb
from streams.errors import EngineAway
from streams.frame import Frame, Restyled, SessionId
from streams.given_time import GivenTime
from streams.mailbox import Letter, Mailbox
from streams.matte import Matte, is_marked, join, split
from streams.patience import Patience
from streams.protocol import EngineForSession, EngineState, Image, Result, Revivable, Stylizer
from streams.quarantine import Quarantine

logger = logging.getLogger(__name__)
Deliver = Callable[[Restyled], None]


@dataclass(slots=True)
class _Admitted:
    """What a frame in the engine leaves behind."""

    frame: Frame
    image: Image
    matte: Matte | None  # of this very frame
    deliver: Deliver | None  # whose it is: a session that comes back has the same id
    stages: dict[str, float]


class Worker:
    """Owns the engine: builds it in its own thread and is the only one that runs it."""

    def __init__(
        self, build: Callable[[], Stylizer], give_up: Callable[[], None] = lambda: None
    ) -> None:
        """`give_up` makes `build` fail soon, from another thread: nobody waits for it any more."""
        self.ready: Future[EngineInfo] = Future()  # fails with what `build` raised
        self._give_up = give_up
        self.failures = 0  # frames that the engine could not do and that passed through
        self._build = build
        self._engine: Stylizer | None = None
        self._revivable: Revivable | None = None  # the engine, if it may be away
        self._mailbox = Mailbox()
        self._quarantine = Quarantine()
        self._deliver: dict[SessionId, Deliver] = {}  # replaced whole on each change
        self._known: set[SessionId] = set()  # sessions open in the engine; engine thread only
        self._admitted: dict[tuple[SessionId, int], _Admitted] = {}
        self._flicker: dict[SessionId, FlickerMeter] = {}  # engine thread only
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
        self._given.close()

    def open(self, session: SessionId, style: StyleParams, deliver: Deliver) -> None:
        """Begin a session; `deliver` is called from the engine thread or from `put`."""
        self._quarantine.come(session)
        self._mailbox.open(session, style)
        self._deliver = {**self._deliver, session: deliver}

    def close_session(self, session: SessionId) -> None:
        """End a session; frames still in flight are dropped."""
        self._deliver = {k: v for k, v in self._deliver.items() if k != session}
        self._mailbox.close(session)
        self._quarantine.leave(session)

    def put(self, session: SessionId, frame: Frame) -> None:
        """Hand in a frame; never waits. It comes back at once, untouched, under bypass, while the
        engine is stuck in a call, and where its session is kept out.
        """
        deliver, style = self._deliver.get(session), self._mailbox.style(session)
        if deliver is None or style is None:
            return
        if style.bypass:
            deliver(self._untouched(session, frame))
        elif self._patience.is_over or self._quarantine.holds(session):
            self._pass_through(session, frame, deliver)
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
            self._flicker.pop(session, None)
            with contextlib.suppress(EngineAway):
                engine.close(session)
            self._admitted = {k: v for k, v in self._admitted.items() if k[0] != session}
        return mail.letter

    def _admit(self, engine: Stylizer, letter: Letter) -> None:
        session, frame = letter.session, letter.frame
        deliver = self._deliver.get(session)
        taken, losses = time.monotonic_ns(), self.engine_losses
        if self._quarantine.holds(session):
            self._pass_through(session, frame, deliver)
            return
        try:
            if session not in self._known:
                engine.open(session)
                self._known.add(session)
            size = letter.size or (engine.config.width, engine.config.height)
            image, matte = _taken_apart(letter, size)
            stages = {
                "wait": (taken - frame.arrived_ns) / 1e6,
                "convert_in": (time.monotonic_ns() - taken) / 1e6,
            }
            self._admitted[session, frame.number] = _Admitted(frame, image, matte, deliver, stages)
            engine.submit(session, frame.number, image, letter.style, letter.since_ns / 1e9)
        except EngineAway:  # told once, by the guardian
            self._note_loss(losses, session)
            self._admitted.pop((session, frame.number), None)
            self._pass_through(session, frame, deliver)
        except Exception:
            logger.exception("session %s: frame %d could not be admitted", session, frame.number)
            self._admitted.pop((session, frame.number), None)
            self._pass_through(session, frame, deliver)

    def _tick(self, engine: Stylizer) -> None:
        losses = self.engine_losses
        try:
            results = engine.tick()
        except Exception:
            self._note_loss(losses)
            # whose row it was cannot be told: all in flight start over with their next frame
            logger.exception("a network call failed; %d frames pass through", len(self._admitted))
            admitted, self._admitted = self._admitted, {}
            known, self._known = self._known, set()
            for session in known:
                with contextlib.suppress(EngineAway):
                    engine.drop(session)
            for (session, _), lost in admitted.items():
                self._pass_through(session, lost.frame, lost.deliver)
            return
        for result in results:
            self._hand_over(result)

    def _note_loss(self, before: int, *coming: SessionId) -> None:
        """Suspect whose frames were in the engine if a call just lost it: not if it was away."""
        if self.engine_losses == before:
            return
        inside = {*coming, *(session for session, _ in self._admitted)}
        culprit = self._quarantine.lost(inside & self._deliver.keys())
        if culprit is not None:
            logger.warning(
                "session %s: its frames pass through until its style or size changes: "
                "the engine was lost twice with them",
                culprit,
            )

    def _hand_over(self, result: Result) -> None:
        session = SessionId(result.session)
        its = self._admitted.pop((session, result.number))
        try:
            shown = self._shown(session, its, result)
        except Exception:  # the other results are still to be handed over
            logger.exception("session %s: frame %d could not be shown", session, result.number)
            self._pass_through(session, its.frame, its.deliver)
            return
        deliver = its.deliver
        if deliver is not None and self._deliver.get(session) is deliver:
            deliver(shown)

    def _shown(self, session: SessionId, its: _Admitted, result: Result) -> Restyled:
        started = time.monotonic_ns()
        picture = to_picture(result.image) if its.matte is None else join(result.image, its.matte)
        stages = its.stages | result.stages_ms
        stages["convert_out"] = (time.monotonic_ns() - started) / 1e6
        flicker = self._flicker.setdefault(session, FlickerMeter()).measure(its.image, result.image)
        paired = its.matte is not None
        return Restyled(its.frame, picture, stages, result.skipped, flicker, paired)

    def _pass_through(self, session: SessionId, frame: Frame, deliver: Deliver | None) -> None:
        self.failures += 1
        if deliver is not None and self._deliver.get(session) is deliver:
            deliver(self._untouched(session, frame))

    def _untouched(self, session: SessionId, frame: Frame) -> Restyled:
        """Give the very frame; one with a matte is what viewers expect already."""
        paired = self._mailbox.is_paired(session) and is_marked(frame.picture)
        return Restyled(frame, frame.picture, {}, paired=paired)


def _taken_apart(letter: Letter, size: Size) -> tuple[Image, Matte | None]:
    picture = letter.frame.picture
    if letter.paired and is_marked(picture):
        return split(picture, *size)
    return to_rgb(picture, *size), None
