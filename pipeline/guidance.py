"""Classifier-free guidance, in terms of clean latents, where all its types are one formula.

A prediction of noise and the clean latent it stands for are tied by an affine map, and guidance
is an affine combination, so it may be done on either side. On the clean side the types differ in
one thing, the reference that is extrapolated away from:

    guided = reference + scale * (clean - reference)

    none        no reference, scale 1                                  n rows for n steps
    self        the frame's own latent z: its stock noise is
                s = (x - a z) / b, whose clean latent is z             n rows
    initialize  what the negative prompt gives at the first step       n + 1 rows
    full        what the negative prompt gives at each step            2 n rows

Source: Kodaira et al. 2023, arXiv:2312.12491, section 3.3 (residual guidance); the identity is
derived in the tests.
"""

from typing import Literal

from jaxtyping import Float
from torch import Tensor

from pipeline.params import StyleParams

Guidance = Literal["none", "self", "initialize", "full"]


def choose(params: StyleParams) -> Guidance:
    """Give the type that is asked for; of itself the cheapest that heeds the negative prompt."""
    if params.guidance_scale <= 1:
        return "none"
    if params.guidance != "auto":
        return params.guidance
    return "initialize" if params.negative_prompt.strip() else "self"


def guide(
    clean: Float[Tensor, "b c h w"], reference: Float[Tensor, "b c h w"], scale: float
) -> Float[Tensor, "b c h w"]:
    """Go `scale` times the way from the reference to the prediction."""
    return reference + scale * (clean - reference)


def needs_negative_row(kind: Guidance, step_index: int) -> bool:
    """Say whether this step also runs with the negative prompt."""
    return kind == "full" or (kind == "initialize" and step_index == 0)
