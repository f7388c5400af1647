"""What may change while a session lives. What may not lives in config.py."""

from dataclasses import dataclass
from typing import Literal

Noise = Literal["fixed", "warped", "fresh"]
GuidanceKind = Literal["auto", "none", "self", "initialize", "full"]


@dataclass(frozen=True, slots=True, kw_only=True)
class StyleParams:
    """How one frame is to look. Read once, at admission; replaced whole, never edited.

    Ranges are enforced where values come in (server/schema/style.py); here they are documented.
    """

    prompt: str = ""  # at most 500 characters; empty: the picture as it is
    negative_prompt: str = ""  # takes away; works while guidance_scale > 1
    strength: float = 0.9  # 0 .. 1: share of the noise schedule that is run again; 0 = the picture
    guidance_scale: float = 1.2  # 1 .. 10; 1 = no guidance
    guidance: GuidanceKind = "auto"  # what it leads away from (guidance.py); auto: the cheapest
    noise: Noise = "fixed"  # on the screen; or carried by the picture, or new in every frame
    noise_warp: float = 1.0  # 0 .. 1: how much of warped noise is carried, the rest is fixed
    seed: int = 2  # 0 .. 2**32 - 1
    blend_seed: int = 3  # 0 .. 2**32 - 1
    seed_blend: float = 0.0  # 0 .. 1: how far the noise has turned from `seed` to `blend_seed`
    travel: float = 0.0  # 0 .. 60 seconds that a change of prompt takes; 0 = at once
    steps: int = 1  # 1 .. 8 denoising steps
    deflicker: float = 0.6  # 0 .. 1: how much of the past, moved along, steadies the picture
    deflicker_search: bool = False  # look near by for what the motion lost
    motion_noise: float = 0.0  # 0 .. 1: how much less noise where the input moves
    similarity_filter: float = 0.0  # 0 .. 1: likeness from which frames are skipped; 0 = none
    bypass: bool = False  # the camera picture, untouched
