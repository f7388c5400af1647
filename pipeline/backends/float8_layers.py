"""Linear layers and convolutions of eight-bit numbers, in the places of ordinary ones.

Weights are float8_e4m3fn (a sign, four bits of exponent, three of mantissa) with a scale for each
output channel; activations become so in each call, with a scale for each row of a linear layer, and
for each picture of a convolution. The product is summed in fp32 and given in bf16.

Tested on a CPU, where PyTorch has the same product; not yet run on a GPU.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import pad

KIND = torch.float8_e4m3fn
_LARGEST = torch.finfo(KIND).max
_LEAST = 1e-12  # of a scale, for rows of zeros
_MULTIPLE = 16  # of both sides of a weight, for the hardware
_WIDE = torch.int64  # eight numbers at a time are moved; all zeros are zero in both
# Source: NVIDIA's data sheet of the H100 (SXM), without sparsity
_FP16, _FP8 = 989e12, 1979e12  # operations a second with fp16 and with fp8
_MEMORY = 3.35e12  # bytes a second


def suits(layer: nn.Module) -> bool:
    """Say whether fp8 is for a layer: it can be computed so, and a GPU would gain by it."""
    if isinstance(layer, nn.Conv2d):
        if not (_is_linear(layer) or (_is_three_by_three(layer) and pays(layer))):
            return False
    elif not isinstance(layer, nn.Linear):
        return False
    return all(side % _MULTIPLE == 0 for side in layer.weight.shape[:2])


def pays(layer: nn.Conv2d) -> bool:
    """Say whether faster products outweigh the bytes moved for them, as of an H100.

    Both grow with the picture, whose size therefore does not matter: the width does. At stride 1
    some 1200 channels as wide in as out are enough, so the lower half of Stable Diffusion's levels
    goes into fp8 and the upper half stays. Counted as if all went through memory: what stays in
    the GPU's cache, as the lower levels' matrices do, costs less; and the weights, half as many
    bytes, are left out.
    """
    ins, outs, stride = layer.in_channels, layer.out_channels, layer.stride[0]
    saved = 2 * 9 * ins * outs * (1 / _FP16 - 1 / _FP8)
    # a number of the picture is looked at for the scale (2 bytes), divided (2, then 4 written),
    # rounded (4, then 1), put between zeros (1 for these, 2) and read there (1); fp16 reads it, too
    moved = (17 - 2) * stride**2 * ins
    moved += 2 * 9 * ins  # the matrix, written and read
    moved += 2 * 2 * outs  # the result, from bf16 to what it was
    return saved > moved / _MEMORY


def count_bytes(weight: Tensor, bias: Tensor | None = None) -> int:
    """Count the bytes of a layer in fp8; to make it from shapes alone takes seconds."""
    biases = 0 if bias is None else bias.numel() * torch.bfloat16.itemsize
    return weight.numel() * KIND.itemsize + len(weight) * torch.float32.itemsize + biases


def in_float8(layer: nn.Linear | nn.Conv2d) -> "Float8Layer":
    """Make what takes a layer's place."""
    if isinstance(layer, nn.Conv2d) and not _is_linear(layer):
        return Float8Convolution(layer)
    return Float8Linear(layer)


def _is_linear(layer: nn.Conv2d) -> bool:
    return (*layer.kernel_size, *layer.stride, layer.groups) == (1, 1, 1, 1, 1)


def _is_three_by_three(layer: nn.Conv2d) -> bool:
    plain = (*layer.kernel_size, *layer.dilation, layer.groups) == (3, 3, 1, 1, 1)
    square = len(set(layer.stride)) == 1 and len(set(layer.padding)) == 1
    return plain and square and layer.padding_mode == "zeros"


class Float8Layer(nn.Module):
    """A weight of eight-bit numbers, with rows of `weight` for output channels."""

    weight: Tensor
    scale: Tensor
    bias: Tensor | None

    def __init__(self, weight: Float[Tensor, "o k"], bias: Tensor | None) -> None:
        super().__init__()
        weight = weight.detach()
        scale = _scale(weight, (1,))
        self.register_buffer("weight", (weight / scale).to(KIND))
        self.register_buffer("scale", scale.T.contiguous())
        self.register_buffer("bias", None if bias is None else bias.detach().bfloat16())

    def _product(self, numbers: Tensor, scale: Float[Tensor, "r 1"]) -> Tensor:
        """Multiply [r, k] eight-bit numbers; gives [r, o] in bf16."""
        return torch._scaled_mm(
            numbers, self.weight.T, scale, self.scale, self.bias,
            out_dtype=torch.bfloat16,
            use_fast_accum=True,  # on Hopper; the gate sees what it costs
        )  # fmt: skip


class Float8Linear(Float8Layer):
    """In the place of a linear layer, or of a 1 × 1 convolution."""

    def __init__(self, layer: nn.Linear | nn.Conv2d) -> None:
        super().__init__(layer.weight.flatten(1), layer.bias)
        self._over_pixels = isinstance(layer, nn.Conv2d)

    def forward(self, values: Float[Tensor, "b *rest"]) -> Float[Tensor, "b *other"]:
        """Give what the layer gave, in the precision of `values`."""
        rows = values.permute(0, 2, 3, 1) if self._over_pixels else values
        flat = rows.flatten(0, -2)
        scale = _scale(flat, (1,))
        product = self._product((flat / scale).to(KIND).contiguous(), scale)
        product = product.to(values.dtype).view(*rows.shape[:-1], -1)
        return product.permute(0, 3, 1, 2) if self._over_pixels else product


class Float8Convolution(Float8Layer):
    """In the place of a 3 × 3 convolution: a matrix of each place's nine neighbours, one product.

    A picture has one scale, whoever shares its call: its pixels become eight-bit numbers before
    they are copied, up to nine times each, so that the copies are of one byte.
    """

    def __init__(self, layer: nn.Conv2d) -> None:
        super().__init__(layer.weight.permute(0, 2, 3, 1).flatten(1), layer.bias)
        self._stride, self._padding = layer.stride[0], int(layer.padding[0])

    def forward(self, values: Float[Tensor, "b i y x"]) -> Float[Tensor, "b o v u"]:
        """Give what the convolution gave, in the precision of `values`, channels last."""
        pixels = values.permute(0, 2, 3, 1)
        scale = _scale(pixels, (1, 2, 3))
        matrix = self._neighbours(pixels / scale)
        shape = matrix.shape[:3]
        scales = scale.flatten(1).expand(-1, shape[1] * shape[2]).contiguous().view(-1, 1)
        product = self._product(matrix.flatten(0, 2), scales).to(values.dtype)
        return product.view(*shape, -1).permute(0, 3, 1, 2)

    def _neighbours(self, pixels: Float[Tensor, "b y x i"]) -> Tensor:
        """Give each place's nine neighbours one after the other: [b, v, u, 9i] in eight bits."""
        shape, border = pixels.shape[:3], self._padding
        # as integers: eight-bit floats can hardly be moved about, neither here nor when compiled
        numbers = pixels.to(KIND).flatten().view(_WIDE)
        padded = pad(numbers.view(*shape, -1), (0, 0, border, border, border, border))
        windows = padded.unfold(1, 3, self._stride).unfold(2, 3, self._stride)
        return windows.permute(0, 1, 2, 4, 5, 3).flatten(3).view(KIND)


def _scale(values: Tensor, over: tuple[int, ...]) -> Tensor:
    """Give what eight-bit numbers are to be multiplied by; the dimensions `over` share one.

    So the largest quotient is as far beyond the largest number as fp32 rounds, and becomes that.
    """
    largest: Tensor = torch.linalg.vector_norm(values, torch.inf, over, keepdim=True)
    return (largest.float() / _LARGEST).clamp(min=_LEAST)
