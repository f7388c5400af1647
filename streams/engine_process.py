"""The engine in a process of its own: what dies there comes back by itself.

    engine = EngineProcess(build)        # build is picklable: it runs in the child
    worker = Worker(engine.start)
    ...
    engine.end()

Calls cross a pipe one at a time, pictures cross in shared memory with one copy each way
(lent_pictures.py). The memory loses its name as soon as both sides hold it, so no way of dying
leaves it behind; what of it is still looked at here stays as it is when the child is killed.
"""

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np

from pipeline.config import EngineConfig, Size
from pipeline.params import StyleParams
from pipeline.results import EngineInfo, EngineResult
from streams.engine_child import Build, Progress, picture_bytes
from streams.engine_guardian import Guardian
from streams.engine_handle import Child
from streams.errors import EngineAway
from streams.protocol import EngineState, Image, Result

logger = logging.getLogger(__name__)


class EngineProcess:
    """A `Stylizer` whose engine lives in a child; one thread drives it, any may `prepare`.

    While the engine is away every call raises EngineAway. After a loss `in_flight` counts at least
    one until `tick` has raised once, so that the driver learns that its sessions are gone.
    """

    config: EngineConfig
    info: EngineInfo  # of the first child: the next ones are built alike

    def __init__(
        self, build: Build, progress: Progress = lambda step: None, restarts: int = 3
    ) -> None:
        self._guardian = Guardian(build, progress, restarts, self._prepare_sizes)
        self._entered: Child | None = None  # the child that the driver's sessions are in
        self._in_flight = 0  # there, as of the last call
        self._wants: dict[str, int] = {}
        self._sizes: dict[str, Size] = {}  # that sessions have: a new child prepares them, too

    def start(self) -> "EngineProcess":
        """Start the child and wait for its engine. Raises what `build` raised."""
        child = self._guardian.start()
        self.config, self.info = child.config, child.info
        return self

    def end(self) -> None:
        """End the child; its memory goes with it."""
        self._guardian.end()

    def revive(self) -> None:
        """Start once more after too many losses; without effect in any other state."""
        self._guardian.revive()

    @property
    def state(self) -> EngineState:
        """Say whether the engine is there."""
        return self._guardian.state

    @property
    def losses(self) -> int:
        """Count how often a child died or was killed."""
        return self._guardian.losses

    @property
    def in_flight(self) -> int:
        """How many frames `tick` has still to give back."""
        return max(self._in_flight, self._is_lost)

    def prepare(self, params: StyleParams) -> str | None:
        """Encode prompts ahead; without an engine there is nothing to say of them."""
        try:
            hint: str | None = self._guardian.present().prepare(params)
        except EngineAway:
            return None
        return hint

    def prepare_size(self, session: str, size: Size) -> None:
        """Make a size ready; a child that comes later has it too."""
        child, before = self._guardian.present(), self._sizes.get(session)
        self._sizes[session] = size  # first: a session that ends meanwhile takes it away
        try:
            child.prepare_size(session, size)
        except BaseException:
            if before is None:
                self._sizes.pop(session, None)
            else:
                self._sizes[session] = before
            raise

    def open(self, session: str) -> None:
        """Make room for a session."""
        self._call("begin", session)

    def drop(self, session: str) -> None:
        """Drop a session's frames; it keeps its size."""
        self._call("drop", session)

    def close(self, session: str) -> None:
        """Drop a session."""
        self._sizes.pop(session, None)
        self._call("end", session)

    def wants(self, session: str, steps: int = 1) -> bool:
        """Say whether a frame may be submitted: as of the last call, without asking the child."""
        return self._is_lost or bool(self._wants.get(session, 0) >> steps & 1)

    def submit(
        self,
        session: str,
        number: int,
        image: Image,
        params: StyleParams,
        arrived: float | None = None,
    ) -> None:
        """Admit a frame. Raises ValueError for what is no picture or a too large one."""
        most = picture_bytes(self.config)
        if image.ndim != 3 or image.dtype != np.uint8 or image.size > most:
            raise ValueError(
                f"picture {image.shape} of {image.dtype}: give (height, width, 3) of uint8, "
                f"at most {most} bytes"
            )
        place = self._enter().go.write(image)
        self._call("submit", session, number, place, image.shape, params, arrived)

    def tick(self) -> Sequence[Result]:
        """Run one network call; give finished frames."""
        try:
            child = self._enter()
            finished = self._call("tick")
        except EngineAway:
            self._entered, self._in_flight, self._wants = None, 0, {}
            raise
        return [
            EngineResult(session, number, child.come.read(place, shape), stages, skipped)
            for session, number, stages, skipped, place, shape in finished
        ]

    def _prepare_sizes(self, child: Child) -> None:
        """Make ready in a new child what sessions have. Raises EngineAway."""
        for session, size in self._sizes.copy().items():
            try:
                child.prepare_size(session, size)
            except EngineAway:
                raise
            except Exception:  # its frames pass untouched; everybody else's do not
                logger.exception("session %s: its size could not be made ready again", session)

    @property
    def _is_lost(self) -> bool:
        """Say whether the sessions' child is gone and `tick` has still to say so."""
        return self._entered is not None and self._entered is not self._guardian.child

    def _enter(self) -> Child:
        """Give the child that the sessions are in: the next one only once `tick` has raised."""
        if self._is_lost:
            raise EngineAway("the engine was lost")
        self._entered = self._guardian.present()
        return self._entered

    def _call(self, name: str, *given: Any) -> Any:
        child = self._enter()
        try:
            kind, value, self._in_flight, self._wants = child.ask(name, given)
        except EngineAway as error:
            logger.error("%s: %s", name, error)
            self._guardian.lose(child)
            raise
        if kind == "failed":
            raise value
        return value
