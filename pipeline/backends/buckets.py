"""The batch sizes for which a network is compiled or captured, its precision and layout."""

import torch
from torch import Tensor, nn

from pipeline.models.folder import ModelFolder

_SIZES = (1, 2, 4, 8, 12, 16)
DTYPES = {"cpu": torch.float32, "cuda": torch.float16}  # of weights, by kind of device


def autoencoder_dtype(
    folder: ModelFolder, device: torch.device, bfloat16: bool = True
) -> torch.dtype:
    """Give the precision of the autoencoder: that of the other weights, where it is wide enough.

    SDXL's own overflows in fp16 and gives black pictures. bf16 has fp32's range in half the bytes;
    `bfloat16`: the backend can do it.
    """
    dtype = DTYPES[device.type]
    if dtype != torch.float16 or not folder.overflows:
        return dtype
    # emulated it is slower than fp32
    bfloat16 = bfloat16 and torch.cuda.is_bf16_supported(including_emulation=False)
    return torch.bfloat16 if bfloat16 else torch.float32


def bucket(rows: int) -> int:
    """Give the smallest size that holds that many rows; beyond 16 they go by eights."""
    return next((size for size in _SIZES if size >= rows), -(-rows // 8) * 8)


def buckets(max_rows: int) -> list[int]:
    """List the sizes that calls of up to `max_rows` rows need, the largest first.

    A guided frame has two rows, however few are allowed.
    """
    return sorted({bucket(rows) for rows in range(1, max(max_rows, 2) + 1)}, reverse=True)


def fill_up(value: Tensor, size: int) -> Tensor:
    """Copy rows into a batch of a size, in plain layout; the rest are zeros.

    Rows do not see each other, so those change nothing. Always a copy: another layout, or a tensor
    made inside of inference mode where one from outside came before, would compile anew.
    """
    filled = value.new_zeros(size, *value.shape[1:])
    filled[: len(value)] = value
    return filled


def channels_last(network: nn.Module, device: torch.device, dtype: torch.dtype) -> nn.Module:
    """Move a network to its device, in the memory layout that convolutions are fastest in."""
    return network.to(device, dtype).to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]  # torch's stub lacks it
