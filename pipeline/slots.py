"""What one frame in flight carries. Everything it needs is here, so live changes never touch it."""

import logging
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float, UInt8
from torch import Tensor

from pipeline.backends.protocol import Networks
from pipeline.guidance import Guidance, needs_negative_row
from pipeline.params import StyleParams
from pipeline.schedule import Step
from pipeline.session_state import Following, Motions, SessionState

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class Slot:
    """One admitted frame on its way through the denoising steps."""

    session: str
    state: SessionState  # of this frame's size
    networks: Networks  # of this frame's size
    number: int  # of the input frame
    order: int  # of admission, over all sessions
    deadline: float  # seconds of the engine's clock
    image: UInt8[np.ndarray, "y x 3"]  # the input
    # one field for each step; None until `begin` where it comes with the motion
    noise: Float[Tensor, "n c h w"] | None
    steps: tuple[Step, ...]
    prompt: Float[Tensor, "1 s k"]  # as Networks.condition gives it
    negative: Float[Tensor, "1 s k"]
    guidance: Guidance
    scale: float
    deflicker: float
    search: bool  # for what the motion lost
    look: StyleParams  # what the picture is meant to look like
    followed: Following | None  # the input's motion, found beside the model
    scene: int  # of the session: a cut begins another
    index: int = 0  # of the step that comes next
    stages_ms: dict[str, float] = field(default_factory=dict)
    # from `begin` on:
    source: Float[Tensor, "1 c h w"] = field(init=False)  # clean latent of the input
    x: Float[Tensor, "1 c h w"] = field(init=False)  # the noisy latent of the step that comes next
    reference: Float[Tensor, "1 c h w"] = field(init=False)  # what guidance leads away from
    begun: bool = False

    def begin(self, source: Float[Tensor, "1 c h w"]) -> None:
        """Take the input's latent, and put the first step's noise on it."""
        first = self.steps[0]
        noise = self.noise = self._carried() if self.noise is None else self.noise
        self.source = self.reference = source
        self.x = first.a * source + first.b * noise[:1]
        self.begun = True

    def _carried(self) -> Float[Tensor, "n c h w"]:
        try:
            noise = None if self.followed is None else self.followed.result().noise
        except Exception:  # one session's motion must not cost the others their call
            logger.exception("session %s: frame %d stays unmoved", self.session, self.number)
            self.followed = noise = None
        return self.state.noise.still(self.look) if noise is None else noise

    @property
    def waits(self) -> bool:
        """Say whether its first step has to wait for the noise."""
        return self.noise is None and self.followed is not None and not self.followed.done

    @property
    def rows(self) -> int:
        """How many rows of a UNet call the next step takes."""
        return 1 + needs_negative_row(self.guidance, self.index)

    @property
    def done(self) -> bool:
        """Say whether all steps ran."""
        return self.index == len(self.steps)

    @property
    def motions(self) -> Motions | None:
        """Give the input's motion since the last admitted frame, once it is found."""
        if self.followed is None:
            return None
        try:
            return self.followed.result().motions
        except Exception:  # one session's motion must not cost the others their call
            logger.exception("session %s: frame %d stays unsteadied", self.session, self.number)
            self.followed = None
            return None

    def steadied(self, clean: Float[Tensor, "1 c h w"]) -> Float[Tensor, "1 c h w"]:
        """Blend the session's past into the clean latent of the last step."""
        motions = self.motions
        return self.state.deflicker(
            clean,
            None if motions is None else motions.latents,
            self.deflicker,
            self.look,
            self.source if self.search else None,
        )

    def finished(self, picture: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "h w 3"]:
        """Blend the session's past into the decoded picture."""
        motions = self.motions
        motion = None if motions is None else motions.pixels
        return self.state.picture_filter(picture, motion, self.deflicker, self.look)
