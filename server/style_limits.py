"""What no style may ask for where the operator has left it out."""

from typing import get_args

from pipeline.params import Noise
from server.errors import ApiError
from server.schema.style import StylePatch
from server.settings import Settings


def noises(settings: Settings) -> tuple[Noise, ...]:
    """Give the kinds of noise that a style may ask for."""
    known: tuple[Noise, ...] = get_args(Noise)
    return tuple(each for each in known if each != "warped" or settings.warped_noise)


def check_limits(patch: StylePatch, settings: Settings) -> None:
    """Check that new style values ask for nothing that is left out. Raises ApiError 422."""
    allowed = noises(settings)
    if patch.noise is not None and patch.noise not in allowed:
        raise ApiError(
            "invalid",
            f"noise: {patch.noise} noise is left out here (--no-warped-noise, "
            f"RESTYLE_WARPED_NOISE=false); there are {' and '.join(allowed)}",
        )
