"""What the engine thread drives; pipeline.engine.Engine is one."""

from collections.abc import Sequence
from typing import Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from pipeline.config import EngineConfig, Size
from pipeline.params import StyleParams
from pipeline.results import EngineInfo

Image = NDArray[np.uint8]  # [h, w, 3] RGB
EngineState = Literal["running", "stuck", "restarting", "failed"]
EngineForSession = Literal[EngineState, "held"]  # held: it runs, for others (quarantine.py)


class Result(Protocol):
    """A finished frame."""

    @property
    def session(self) -> str:
        """Whose it is."""

    @property
    def number(self) -> int:
        """Which input frame it shows."""

    @property
    def image(self) -> Image:
        """The picture."""

    @property
    def stages_ms(self) -> dict[str, float]:
        """Milliseconds spent in encode, unet, decode."""

    @property
    def skipped(self) -> bool:
        """Whether it is the picture before, because the input had hardly changed."""


class Stylizer(Protocol):
    """Restyles frames of many sessions; see pipeline.engine.Engine for each method."""

    config: EngineConfig

    @property
    def info(self) -> EngineInfo:
        """What it is, for people."""

    @property
    def in_flight(self) -> int:
        """Frames that `tick` has still to give back."""

    def prepare(self, params: StyleParams) -> str | None:
        """Encode prompts ahead of time; from any thread. Gives what a user should know of them."""

    def prepare_size(self, session: str, size: Size) -> None:
        """Make a size ready for a session; from any thread. Raises ConfigError, NoRoom."""

    def open(self, session: str) -> None:
        """Make room for a session."""

    def drop(self, session: str) -> None:
        """Drop a session's frames and what is known of it; its size stays ready."""

    def close(self, session: str) -> None:
        """End a session."""

    def wants(self, session: str, steps: int) -> bool:
        """Say whether another frame may be submitted now."""

    def submit(
        self,
        session: str,
        number: int,
        image: Image,
        params: StyleParams,
        arrived: float | None = None,
    ) -> None:
        """Admit a frame of a size that is ready; `arrived` in seconds of time.monotonic()."""

    def tick(self) -> Sequence[Result]:
        """Run one network call; give finished frames."""


@runtime_checkable
class Revivable(Protocol):
    """An engine that may be away."""

    state: EngineState
    losses: int  # how often it died or was killed

    def revive(self) -> None:
        """Start anew after it was given up."""
