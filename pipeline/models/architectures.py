"""The true shapes of the models people use, for measuring without their weights.

Speed and memory do not depend on what the weights are. The counts were published with the models
and come out of diffusers 0.42 for these configurations.
"""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Architecture:
    """A class of diffusers, how to make it, and how many parameters it then has."""

    class_name: str
    config: dict[str, Any]
    parameters: int


_CROSS = ("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",)
_UP = ("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 3
_STABLE = {
    "sample_size": 64,
    "block_out_channels": (320, 640, 1280, 1280),
    "down_block_types": _CROSS,
    "up_block_types": _UP,
    "layers_per_block": 2,
}

ARCHITECTURES: dict[str, Architecture] = {
    "sd15": Architecture(
        "UNet2DConditionModel",
        _STABLE | {"attention_head_dim": 8, "cross_attention_dim": 768},
        859_520_964,
    ),
    "sd-turbo": Architecture(
        "UNet2DConditionModel",
        _STABLE
        | {
            "attention_head_dim": (5, 10, 20, 20),
            "cross_attention_dim": 1024,
            "use_linear_projection": True,
        },
        865_910_724,
    ),
    "instruct-pix2pix": Architecture(
        "UNet2DConditionModel",
        _STABLE | {"attention_head_dim": 8, "cross_attention_dim": 768, "in_channels": 8},
        859_532_484,
    ),
    "sdxl-turbo": Architecture(
        "UNet2DConditionModel",
        {
            "sample_size": 64,
            "block_out_channels": (320, 640, 1280),
            "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
            "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
            "layers_per_block": 2,
            "attention_head_dim": (5, 10, 20),
            "cross_attention_dim": 2048,
            "transformer_layers_per_block": (1, 2, 10),
            "use_linear_projection": True,
            "addition_embed_type": "text_time",
            "addition_time_embed_dim": 256,
            "projection_class_embeddings_input_dim": 2816,
        },
        2_567_463_684,
    ),
    "taesd": Architecture("AutoencoderTiny", {}, 2_445_063),
    "mini": Architecture(  # the layout of SD-Turbo at a hundredth of its size: for tests
        "UNet2DConditionModel",
        _STABLE
        | {
            "block_out_channels": (32, 64, 128, 128),
            "attention_head_dim": (2, 4, 8, 8),
            "cross_attention_dim": 64,
            "use_linear_projection": True,
        },
        8_605_284,
    ),
}


def make_network(name: str) -> Any:  # diffusers ships no types
    """Make a network with random weights on PyTorch's current default device.

    Raises KeyError for a name that ARCHITECTURES lacks, AssertionError when diffusers has changed
    what a configuration means.
    """
    import diffusers  # seconds to import

    wanted = ARCHITECTURES[name]
    network = getattr(diffusers, wanted.class_name)(**wanted.config)
    count = sum(parameter.numel() for parameter in network.parameters())
    assert count == wanted.parameters, f"{name}: {count} parameters, {wanted.parameters} expected"
    return network.eval()
