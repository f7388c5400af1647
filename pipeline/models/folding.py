"""Layers rewritten into cheaper ones that give the same.

fold_upsampling(unet)
"""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

# Of three taps over a row that was doubled, two fall on one row of the original: what a tap of
# [row before, own row] weighs for even rows, and of [own row, row after] for odd ones.
_TAPS = torch.tensor([[[1.0, 0, 0], [0, 1, 1]], [[1, 1, 0], [0, 0, 1]]])  # [odd, tap, of three]
_AT = ((3, 1), (2, 0))  # where a transposed convolution of four taps has those


def fold_upsampling(network: nn.Module) -> int:
    """Make doubling and the 3 × 3 convolution after it one transposed convolution of 4 × 4.

    Of nine multiplications over doubled rows and columns four are enough (16 instead of 36 for four
    pixels), since a pixel stands there twice. Gives how many were folded.
    """
    found = [
        (parent, name, layer)
        for parent in network.modules()
        for name, layer in parent.named_children()
        if _foldable(layer)
    ]
    for parent, name, layer in found:
        setattr(parent, name, _FoldedUpsampling(layer))
    return len(found)


def _foldable(layer: nn.Module) -> bool:
    from diffusers.models.upsampling import Upsample2D

    if not isinstance(layer, Upsample2D):
        return False
    conv = getattr(layer, layer.name, None)
    return (
        isinstance(conv, nn.Conv2d)
        and layer.norm is None
        and layer.interpolate
        and (conv.kernel_size, conv.stride, conv.padding) == ((3, 3), (1, 1), (1, 1))
    )


class _FoldedUpsampling(nn.Module):
    """In the place of diffusers' Upsample2D."""

    def __init__(self, layer: Any) -> None:  # diffusers has no types
        super().__init__()
        self.plain = layer
        conv = getattr(layer, layer.name)
        self.conv = nn.ConvTranspose2d(
            conv.in_channels, conv.out_channels, 4, stride=2, padding=1, bias=conv.bias is not None
        )
        self.conv.weight = nn.Parameter(_transposed(conv.weight.detach()), requires_grad=False)
        if conv.bias is not None:
            self.conv.bias = conv.bias

    def forward(self, hidden_states: Tensor, output_size: Any = None) -> Tensor:
        """Double both sides; another size than twice the given one takes the plain way."""
        if output_size is not None:
            plain: Tensor = self.plain(hidden_states, output_size)
            return plain
        doubled: Tensor = self.conv(hidden_states)
        return doubled


def _transposed(weight: Float[Tensor, "o i 3 3"]) -> Float[Tensor, "i o 4 4"]:
    taps = _TAPS.to(weight)
    phases = torch.einsum("pak,qbl,oikl->ioapbq", taps, taps, weight)
    folded = weight.new_zeros(*phases.shape[:2], 4, 4)
    for odd_row in (0, 1):
        for odd_column in (0, 1):
            rows = torch.tensor(_AT[odd_row])[:, None]
            columns = torch.tensor(_AT[odd_column])[None]
            folded[:, :, rows, columns] = phases[:, :, :, odd_row, :, odd_column]
    return folded
