"""What safetensors files say about themselves: names, types, shapes. Reads no weight."""

import math
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError, safe_open

from pipeline.errors import ModelError


@dataclass(frozen=True, slots=True)
class Entry:
    """One tensor of a file."""

    dtype: str  # as safetensors writes it: F32, F16, BF16, I64, …
    shape: tuple[int, ...]

    @property
    def count(self) -> int:
        """How many numbers it holds."""
        return math.prod(self.shape)


def read_header(path: Path) -> dict[str, Entry]:
    """List the tensors of a file by name. Raises ModelError."""
    try:
        with safe_open(path, framework="np") as file:
            slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118
            return {
                name: Entry(part.get_dtype(), tuple(part.get_shape()))
                for name, part in slices.items()
            }
    except (SafetensorError, OSError) as error:
        raise ModelError(f"{path}: damaged or no safetensors file; restore it") from error
