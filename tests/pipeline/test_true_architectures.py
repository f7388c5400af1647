"""Folders of the true architectures: every shape as published, no weight on the disk."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from pipeline.config import EngineConfig
from pipeline.models import vram
from pipeline.models.architectures import ARCHITECTURES, make_network
from pipeline.models.conditioning import cross_attention
from pipeline.models.folder import open_folder
from pipeline.models.loader import outline_denoiser

# by family: UNet, autoencoder and text encoders of ARCHITECTURES; words of a prompt; its UNet's
# input; whether it sees the source
FAMILIES: dict[str, tuple[tuple[str, ...], tuple[int, int], bool]] = {
    "SD-Turbo with TAESD": (("sd-turbo", "taesd", "openclip-h"), (77, 1024), False),
    "SD 1.5 with its own autoencoder": (("sd15", "kl-vae", "clip-l"), (77, 768), False),
    "InstructPix2Pix": (("instruct-pix2pix", "kl-vae", "clip-l"), (77, 768), True),
    "SDXL-Turbo with TAESDXL": (
        ("sdxl-turbo", "taesd", "clip-l", "openclip-bigg"), (78, 2048), False,
    ),
}  # fmt: skip
PARTS = ("unet", "vae", "text_encoder", "text_encoder_2")


def write(name: str, part: str, to: Path) -> list[str]:
    """Write config.json and a file of weights that is nothing but holes behind its header."""
    with torch.device("meta"):
        network = make_network(name)
    (to / part).mkdir(parents=True)
    config = network.config
    given = dict(config) if isinstance(config, dict) else config.to_dict()
    (to / part / "config.json").write_text(json.dumps(given, default=list))
    weights = "model" if part.startswith("text") else "diffusion_pytorch_model"
    hollow(network, to / part / f"{weights}.safetensors")
    return ["of a library", ARCHITECTURES[name].class_name]


def hollow(network: nn.Module, to: Path) -> None:
    header: dict[str, Any] = {}
    end = 0
    for name, weight in network.named_parameters():
        start, end = end, end + 2 * math.prod(weight.shape)
        header[name] = {"dtype": "F16", "shape": list(weight.shape), "data_offsets": [start, end]}
    text = json.dumps(header).encode()
    with to.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        file.truncate(8 + len(text) + end)


@pytest.mark.parametrize(
    "family",
    [
        each if each.startswith("SD-Turbo") else pytest.param(each, marks=pytest.mark.long)
        for each in FAMILIES
    ],
)
def test_a_folder_of_the_true_shapes_is_taken_and_counted(family: str, tmp_path: Path) -> None:
    names, words, sees_source = FAMILIES[family]
    index = {part: write(name, part, tmp_path) for part, name in zip(PARTS, names, strict=False)}
    (tmp_path / "model_index.json").write_text(json.dumps(index))
    (tmp_path / "scheduler").mkdir()
    (tmp_path / "scheduler" / "scheduler_config.json").write_text("{}")
    config = EngineConfig(model=str(tmp_path), width=512, height=512)

    folder = open_folder(config)
    weights = vram.estimate(folder, config, "cpu").weights
    denoiser = outline_denoiser(folder, 512, 512)

    published = [ARCHITECTURES[name].parameters for name in names]
    assert list(weights.values()) == [4 * count for count in published]  # fp32 on a CPU
    assert (folder.words_shape, folder.sees_source) == (words, sees_source)
    assert (folder.latent_channels, folder.downscale) == (4, 8)
    # prompts and timesteps are taken out of it, queries, keys and values are joined
    assert sum(parameter.numel() for parameter in denoiser.parameters()) == published[0]
    projected = denoiser.text(torch.zeros(1, *words, device="meta"))
    layers = cross_attention(denoiser.unet)
    assert projected.shape[-1] == sum(2 * layer.to_out[0].in_features for layer in layers)
    rows = torch.zeros(2, folder.unet.config["in_channels"], 64, 64, device="meta")
    times = denoiser.time(torch.zeros(2, device="meta"))
    assert denoiser(rows, times, projected.expand(2, -1, -1)).shape == (2, 4, 64, 64)
