"""Style values: the one schema for HTTP, data channel, command line and page.

Each default comes from pipeline.params.StyleParams.
"""

from typing import Annotated

from pydantic import Field

from pipeline.params import GuidanceKind, Noise, StyleParams
from server.schema.message import Message

_DEFAULT = StyleParams()
Prompt = Annotated[str, Field(max_length=500)]


class Style(Message):
    """All style values, as in force."""

    prompt: Prompt = _DEFAULT.prompt
    negative_prompt: Prompt = _DEFAULT.negative_prompt
    strength: float = Field(default=_DEFAULT.strength, ge=0, le=1)
    guidance_scale: float = Field(default=_DEFAULT.guidance_scale, ge=1, le=10)
    guidance: GuidanceKind = _DEFAULT.guidance
    seed: int = Field(default=_DEFAULT.seed, ge=0, le=2**32 - 1)
    steps: int = Field(default=_DEFAULT.steps, ge=1, le=8)
    noise: Noise = _DEFAULT.noise
    noise_warp: float = Field(default=_DEFAULT.noise_warp, ge=0, le=1)
    deflicker: float = Field(default=_DEFAULT.deflicker, ge=0, le=1)
    deflicker_search: bool = _DEFAULT.deflicker_search
    motion_noise: float = Field(default=_DEFAULT.motion_noise, ge=0, le=1)
    blend_seed: int = Field(default=_DEFAULT.blend_seed, ge=0, le=2**32 - 1)
    seed_blend: float = Field(default=_DEFAULT.seed_blend, ge=0, le=1)
    travel: float = Field(default=_DEFAULT.travel, ge=0, le=60)
    similarity_filter: float = Field(default=_DEFAULT.similarity_filter, ge=0, le=1)
    bypass: bool = _DEFAULT.bypass

    def params(self) -> StyleParams:
        """Hand the values to the pipeline."""
        return StyleParams(**self.model_dump())


class StylePatch(Message):
    """New style values. Keys left out stay as they are."""

    prompt: Prompt | None = None
    negative_prompt: Prompt | None = None
    strength: float | None = Field(default=None, ge=0, le=1)
    guidance_scale: float | None = Field(default=None, ge=1, le=10)
    guidance: GuidanceKind | None = None
    seed: int | None = Field(default=None, ge=0, le=2**32 - 1)
    steps: int | None = Field(default=None, ge=1, le=8)
    noise: Noise | None = None
    noise_warp: float | None = Field(default=None, ge=0, le=1)
    deflicker: float | None = Field(default=None, ge=0, le=1)
    deflicker_search: bool | None = None
    motion_noise: float | None = Field(default=None, ge=0, le=1)
    blend_seed: int | None = Field(default=None, ge=0, le=2**32 - 1)
    seed_blend: float | None = Field(default=None, ge=0, le=1)
    travel: float | None = Field(default=None, ge=0, le=60)
    similarity_filter: float | None = Field(default=None, ge=0, le=1)
    bypass: bool | None = None

    def apply(self, style: Style) -> Style:
        """Give `style` with the values that this patch names."""
        return style.model_copy(update=self.model_dump(exclude_none=True))


class StyleOfPicture(Message):
    """Answer of POST /api/reference: which of the model's styles a picture looks like."""

    prompt: str  # may be a blend; empty where it looks like none of them
    hint: str | None = None


class StyleInForce(Message):
    """Answer of PATCH /api/sessions/{id}."""

    style: Style
    frame: int  # number of the first input frame that it holds for
    hint: str | None = None
