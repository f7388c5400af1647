"""What a bank of attention features takes, in numbers, known before any weight is read.

Numbers have the size of the UNet's. tests/pipeline/test_vram.py holds them against real banks.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from pipeline.backends.buckets import buckets
from pipeline.config import EngineConfig
from pipeline.feature_bank import FUSED
from pipeline.models.folder import ModelFolder
from pipeline.models.headers import read_header
from pipeline.shelves import JOINING

_KEYS = ".attn1.to_k.weight"
_PARTS = 2  # rows of a guided frame, each with features of its own
_ORDER = 24  # numbers that a token's places in orders take, 64 bits each, and its count


@dataclass(frozen=True, slots=True)
class _Layer:
    tokens: int
    width: int
    fused: bool

    @property
    def left(self) -> int:
        """Count what it keeps of a frame: keys, values and, for fusion, its output."""
        return (2 + self.fused) * self.tokens * self.width

    def work(self, places: int) -> int:
        """Count what lives while it attends: keys and values of all frames; likenesses to them."""
        frames = places + 1
        likenesses = self.fused * 2 * places * self.tokens * (self.tokens + self.width)
        return max(2 * frames * self.tokens * self.width, likenesses)

    @property
    def merging(self) -> int:
        """Count what lives while a frame is merged into a bank: both, in an order and out of it,
        sums in fp32, keys, likenesses.
        """
        return 8 * self.left + self.tokens * (2 * self.width + min(JOINING, self.tokens) + _ORDER)


def session_bank(folder: ModelFolder, config: EngineConfig, steps: int) -> int:
    """Count what a session's frames leave at so many steps, guided."""
    return steps * _PARTS * _places(config) * sum(layer.left for layer in _layers(folder, config))


def bank_in_calls(folder: ModelFolder, config: EngineConfig, fixed: bool) -> int:
    """Count what a full call reads and leaves; `fixed`: at addresses that stay, the batch full."""
    places = _places(config)
    rows = buckets(config.max_rows)[0] if fixed else max(config.max_rows, 2)
    layers = list(_layers(folder, config))
    # the past side by side; what is left layer by layer, and joined
    kept = (places + 2 * bool(places)) * sum(layer.left for layer in layers)
    work = max((layer.work(places) for layer in layers), default=0)
    merging = max((layer.merging for layer in layers), default=0) if config.feature_merge else 0
    return rows * (kept + work) + merging  # of one row after the other


def _places(config: EngineConfig) -> int:
    return config.feature_bank + config.feature_anchor


def _layers(folder: ModelFolder, config: EngineConfig) -> Iterator[_Layer]:
    """List the layers of self-attention that a bank replaces, none without one."""
    if not config.feature_bank:
        return
    levels = len(folder.unet.config["block_out_channels"])
    for name, entry in read_header(folder.unet.weights).items():
        if not name.endswith(_KEYS):
            continue
        shrunk = folder.downscale * 2 ** _level(name, levels)
        tokens = -(-config.width // shrunk) * -(-config.height // shrunk)
        yield _Layer(tokens, entry.shape[0], bool(config.feature_fusion) and name.startswith(FUSED))


def _level(layer: str, levels: int) -> int:
    """Say how often the picture was halved before a layer, by its name."""
    block, number = layer.split(".")[:2]
    if block == "mid_block":
        return levels - 1
    return int(number) if block == "down_blocks" else levels - 1 - int(number)
