"""The true shapes of the models people use, for measuring without their weights.

Speed and memory do not depend on what the weights are. The counts were published with the models
and come out of diffusers 0.42 and transformers 5.24 for these configurations.
"""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Architecture:
    """A class of diffusers or transformers, how to make it, and how many parameters it has."""

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

_CLIP = {"vocab_size": 49408, "max_position_embeddings": 77}


def _text(width: int, layers: int, heads: int) -> dict[str, Any]:
    return {
        "hidden_size": width,
        "intermediate_size": 4 * width,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
    }


_STABLE_2 = _STABLE | {
    "attention_head_dim": (5, 10, 20, 20),
    "cross_attention_dim": 1024,
    "use_linear_projection": True,
}

ARCHITECTURES: dict[str, Architecture] = {
    "sd15": Architecture(  # InstaFlow has the same
        "UNet2DConditionModel",
        _STABLE | {"attention_head_dim": 8, "cross_attention_dim": 768},
        859_520_964,
    ),
    "sd-turbo": Architecture("UNet2DConditionModel", _STABLE_2, 865_910_724),
    "sd21-v": Architecture(  # SD 2.1 for 768 × 768, which predicts v
        "UNet2DConditionModel",
        _STABLE_2 | {"sample_size": 96, "upcast_attention": True},
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
    "taesd": Architecture("AutoencoderTiny", {}, 2_445_063),  # TAESDXL has the same
    "kl-vae": Architecture(
        "AutoencoderKL",
        {
            "block_out_channels": (128, 256, 512, 512),
            "down_block_types": ("DownEncoderBlock2D",) * 4,
            "up_block_types": ("UpDecoderBlock2D",) * 4,
            "layers_per_block": 2,
        },
        83_653_863,
    ),
    # text encoders of SD 1.5 and SDXL, of SD 2.1 and SD-Turbo, and SDXL's second
    "clip-l": Architecture("CLIPTextModel", _CLIP | _text(768, 12, 12), 123_060_480),
    "openclip-h": Architecture("CLIPTextModel", _CLIP | _text(1024, 23, 16), 340_387_840),
    "openclip-bigg": Architecture(
        "CLIPTextModelWithProjection",
        _CLIP | _text(1280, 32, 20) | {"projection_dim": 1280},
        694_659_840,
    ),
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


def make_network(name: str) -> Any:  # neither library ships types
    """Make a network with random weights on PyTorch's current default device.

    Raises KeyError for a name that ARCHITECTURES lacks, AssertionError when a library has changed
    what a configuration means.
    """
    wanted = ARCHITECTURES[name]
    network = _make(wanted)
    count = sum(parameter.numel() for parameter in network.parameters())
    assert count == wanted.parameters, f"{name}: {count} parameters, {wanted.parameters} expected"
    return network.eval()


def _make(wanted: Architecture) -> Any:
    if wanted.class_name.startswith("CLIP"):
        import transformers  # seconds to import, as diffusers

        config = transformers.CLIPTextConfig(**wanted.config)
        return getattr(transformers, wanted.class_name)(config)
    import diffusers

    return getattr(diffusers, wanted.class_name)(**wanted.config)
