"""What lives between the frames of one session."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from pipeline.cores import available_cores
from pipeline.deflicker import Deflicker, LatentMotion, to_latents, trusted
from pipeline.feature_bank import Scenes
from pipeline.flow import InputFlow, stilled
from pipeline.motion_level import MotionLevel
from pipeline.params import StyleParams
from pipeline.picture_filter import PictureFilter, PictureMotion, to_pixels
from pipeline.session_noise import SessionNoise
from pipeline.similarity import SimilarityFilter

# Threads that stay, for all sessions: OpenCV never gives back about 900 bytes for each thread that
# has called it, and each thread may have a heap of its own, which grows to what a session takes.
# What runs in them waits for nothing that is queued behind it.
ASIDE = ThreadPoolExecutor(max(2, available_cores()), "flow")


@dataclass(frozen=True, slots=True)
class Motions:
    """A frame's motion since the last admitted one, on the grids of the two filters."""

    latents: LatentMotion
    pixels: PictureMotion


@dataclass(frozen=True, slots=True)
class Followed:
    """What following the input to a frame gave."""

    noise: Float[Tensor, "n c y x"] | None  # where the picture carries it
    motions: Motions | None  # where they are asked for and known


class Following:
    """An admitted frame's motion, found in a thread beside, after that of the frames before it."""

    def __init__(self, last: "Following | None", find: Callable[[], Followed]) -> None:
        self._last = last
        self._find: Callable[[], Followed] | None = find
        self._found: Future[Followed] | None = None

    def begin(self) -> Future[Followed]:
        """Begin to find it, if it is not begun yet; give what will hold it."""
        if self._found is None:
            before, self._last = self._last, None  # or every frame would keep all before it
            find, self._find = self._find, None  # it holds the session's state, which holds this
            assert find is not None
            self._found = ASIDE.submit(_find_after, before.begin() if before else None, find)
        return self._found

    @property
    def done(self) -> bool:
        """Say whether there is nothing to wait for."""
        return self._found is not None and self._found.done()

    def result(self, timeout: float | None = None) -> Followed:
        """Wait for it, for so many seconds at most. Raises what finding it raised."""
        return self.begin().result(timeout)

    def wait(self) -> None:
        """Wait until it is found, or could not be."""
        wait([self.begin()])


def _find_after(before: Future[Followed] | None, find: Callable[[], Followed]) -> Followed:
    if before is not None:  # it was begun before, so that it ends is sure
        wait([before])
    return find()


class SessionState:
    """A session's noise, the prompts it travels between, and what it showed last."""

    def __init__(self, shape: tuple[int, int, int], device: torch.device, factor: int = 4) -> None:
        self.shape, self._device, self._factor = shape, device, factor
        self.noise = SessionNoise(shape, device, factor)
        self.deflicker = Deflicker()
        self.picture_filter = PictureFilter()
        self.scenes = Scenes()
        self.motion_level = MotionLevel()
        self._flow: InputFlow | None = None
        self._following: Following | None = None  # of its last admitted frame
        self._carries = False  # that one's noise comes with it
        self._prompt, self._negative = Travel(), Travel()
        self._similarity = SimilarityFilter()
        self._admitted: StyleParams | None = None  # values of the last admitted frame
        self.shown: UInt8[np.ndarray, "h w 3"] | None = None  # the last finished picture

    def resized(self, shape: tuple[int, int, int]) -> "SessionState":
        """Give the state to go on with at another size: prompts on their way stay on it.

        Fixed noise is there at once; motion, and what follows it, from the second frame on.
        """
        other = SessionState(shape, self._device, self._factor)
        other._prompt, other._negative = self._prompt, self._negative
        return other

    def follow_aside(
        self, params: StyleParams, image: UInt8[np.ndarray, "h w 3"]
    ) -> Following | None:
        """Give what will `follow` an admitted frame, once it is begun or waited for.

        None where nothing asks for it.
        """
        if params.noise != "warped" and not params.deflicker:
            self._flow = None
            return None
        self._following = Following(self._following, partial(self.follow, params, image))
        return self._following

    def still_noise(self, params: StyleParams) -> Float[Tensor, "n c y x"] | None:
        """Give an admitted frame's noise; None where it comes with the motion that carries it."""
        before, self._carries = self._carries, params.noise == "warped"
        if self._carries:
            return None
        if before and self._following is not None:
            self._following.wait()  # what is let go here is in that thread's hands
        return self.noise.still(params)

    def follow(self, params: StyleParams, image: UInt8[np.ndarray, "h w 3"]) -> Followed:
        """Find the input's motion since the last admitted frame, and what it carries."""
        self._flow = flow = self._flow or InputFlow()
        last = flow.grey
        carries = params.noise == "warped"  # and slow motion adds up
        motion = flow.follow(image, everywhere=carries)
        noise = self.noise.carried(params, flow, motion) if carries else None
        if not params.deflicker or motion is None or motion.is_cut:
            return Followed(noise, None)
        assert last is not None
        assert flow.grey is not None
        still = stilled(motion, last, flow.grey, flow.noise)
        trust = trusted(still)
        return Followed(
            noise,
            Motions(
                to_latents(still.backward, trust, *self.shape[1:], self._device),
                to_pixels(still.backward, trust, *image.shape[:2]),
            ),
        )

    def skips(self, image: UInt8[np.ndarray, "h w 3"], params: StyleParams, at: float) -> bool:
        """Say whether the last picture will do for this frame, too; never while values change."""
        changed, self._admitted = params != self._admitted, params
        if self.shown is None or changed or self._prompt.under_way(at):
            self._similarity = SimilarityFilter(params.seed)
        return self._similarity.skips(image, params.similarity_filter)

    @property
    def may_skip(self) -> bool:
        """Say whether a similarity filter was on when the last frame came."""
        return self._admitted is not None and self._admitted.similarity_filter > 0

    def words(
        self, prompt: Tensor, negative: Tensor, travel: float, at: float
    ) -> tuple[Float[Tensor, "1 s k"], Float[Tensor, "1 s k"]]:
        """Give the prompts of a frame at a time in seconds: on the way, while there is one."""
        return self._prompt.towards(prompt, travel, at), self._negative.towards(
            negative, travel, at
        )


class Travel:
    """One prompt's embedding that moves to the next over a time."""

    def __init__(self) -> None:
        self._start: Tensor | None = None
        self._goal: Tensor | None = None
        self._began, self._takes = 0.0, 0.0

    def under_way(self, at: float) -> bool:
        """Say whether the goal is not reached yet."""
        return at < self._began + self._takes

    def towards(self, goal: Tensor, takes: float, at: float) -> Tensor:
        """Give the embedding at a time in seconds; a new goal starts from where it is then."""
        if goal is not self._goal:
            first = self._goal is None  # there is nothing to come from
            self._start = goal if first else self._at(at)
            self._goal, self._began, self._takes = goal, at, 0.0 if first else takes
        return self._at(at)

    def _at(self, at: float) -> Tensor:
        assert self._start is not None
        assert self._goal is not None
        if not self.under_way(at):
            return self._goal
        share = (at - self._began) / self._takes
        return torch.lerp(self._start, self._goal, max(share, 0.0))
