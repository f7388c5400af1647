"""What an engine gives: finished frames, and what it is. Without torch, which the server's process
need not load where the engine has one of its own.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from pipeline.models.folder import Preset

Image = UInt8[np.ndarray, "h w 3"]


@dataclass(frozen=True, slots=True)
class EngineResult:
    """A finished frame."""

    session: str
    number: int  # of the input frame that it shows
    image: Image  # RGB
    stages_ms: dict[str, float]  # encode, unet, decode
    skipped: bool = False  # the picture before, because the input had hardly changed


@dataclass(frozen=True, slots=True)
class EngineInfo:
    """What an engine is, for people."""

    model: str
    device: str
    backend: str
    prediction_type: str
    width: int
    height: int
    ms_per_frame: float  # one step, measured at warm-up
    presets: tuple[Preset, ...]
    places: int | None = (
        None  # sessions whose state fits into the device's memory, if that is fixed
    )
    size_step: int | None = None  # of sides while it runs; None: it has one size only
    reference: Path | None = None  # folder of what reads reference pictures (pipeline/reference.py)
    precision: str | None = None  # of the UNet's layers, where the backend says it
