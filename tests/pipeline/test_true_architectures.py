"""Folders of the true architectures: every shape as published, no weight on the disk."""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from pipeline.config import EngineConfig
from pipeline.models import loader, vram
from pipeline.models.architectures import ARCHITECTURES, make_network
from pipeline.models.conditioning import cross_attention
from pipeline.models.folder import open_folder
from pipeline.models.headers import read_header
from pipeline.models.loader import outline_denoiser
from pipeline.schedule import read_schedule

DDPM = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}


@dataclass(frozen=True)
class Family:
    """What a folder is made of, and what Restyle has to find in it."""

    parts: tuple[str, ...]  # of ARCHITECTURES: UNet, autoencoder, text encoders
    words: tuple[int, int]  # of a prompt
    predicts: str = "epsilon"
    pipeline: str = "StableDiffusionPipeline"
    side: int = 512
    sees_source: bool = False


FAMILIES = {
    "SD-Turbo with TAESD": Family(("sd-turbo", "taesd", "openclip-h"), (77, 1024)),
    "SD 1.5 with its own autoencoder": Family(("sd15", "kl-vae", "clip-l"), (77, 768)),
    "SD 2.1 that predicts v": Family(
        ("sd21-v", "kl-vae", "openclip-h"), (77, 1024), "v_prediction", side=768
    ),
    "InstaFlow": Family(
        ("sd15", "kl-vae", "clip-l"), (77, 768), "flow", pipeline="RectifiedFlowPipeline"
    ),
    "InstructPix2Pix": Family(
        ("instruct-pix2pix", "kl-vae", "clip-l"), (77, 768), sees_source=True
    ),
    "SDXL-Turbo with TAESDXL": Family(
        ("sdxl-turbo", "taesd", "clip-l", "openclip-bigg"), (78, 2048),
        pipeline="StableDiffusionXLPipeline",
    ),
}  # fmt: skip
# SD 1.5 has the shapes of InstaFlow
LONG = ("SD 1.5 with its own autoencoder", "InstructPix2Pix", "SDXL-Turbo with TAESDXL")
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
    write_holes({name: tuple(weight.shape) for name, weight in network.named_parameters()}, to)


def write_holes(shapes: dict[str, tuple[int, ...]], to: Path) -> None:
    """Write a file of half precision numbers, none of which is on the disk."""
    header: dict[str, Any] = {}
    end = 0
    for name, shape in shapes.items():
        start, end = end, end + 2 * math.prod(shape)
        header[name] = {"dtype": "F16", "shape": list(shape), "data_offsets": [start, end]}
    text = json.dumps(header).encode()
    with to.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        file.truncate(8 + len(text) + end)


def write_folder(family: Family, to: Path) -> None:
    index: dict[str, Any] = {"_class_name": family.pipeline}
    index |= {part: write(name, part, to) for part, name in zip(PARTS, family.parts, strict=False)}
    (to / "model_index.json").write_text(json.dumps(index))
    (to / "scheduler").mkdir()
    predicts = "epsilon" if family.predicts == "flow" else family.predicts  # as InstaFlow says
    scheduler = DDPM | {"_class_name": "DDIMScheduler", "prediction_type": predicts}
    (to / "scheduler" / "scheduler_config.json").write_text(json.dumps(scheduler))


@pytest.mark.parametrize(
    "family",
    [pytest.param(each, marks=pytest.mark.long) if each in LONG else each for each in FAMILIES],
)
def test_a_folder_of_the_true_shapes_is_taken_and_counted(family: str, tmp_path: Path) -> None:
    wanted = FAMILIES[family]
    write_folder(wanted, tmp_path)
    config = EngineConfig(model=str(tmp_path), width=wanted.side, height=wanted.side)

    folder = open_folder(config)
    weights = vram.estimate(folder, config, "cpu").weights
    denoiser = outline_denoiser(folder, wanted.side, wanted.side)

    published = [ARCHITECTURES[name].parameters for name in wanted.parts]
    assert list(weights.values()) == [4 * count for count in published]  # fp32 on a CPU
    assert (folder.words_shape, folder.sees_source) == (wanted.words, wanted.sees_source)
    assert (folder.latent_channels, folder.downscale) == (4, 8)
    assert read_schedule(folder.scheduler).prediction_type == wanted.predicts
    assert folder.times_trained(wanted.side, wanted.side) == 1
    # prompts and timesteps are taken out of it, queries, keys and values are joined
    assert sum(parameter.numel() for parameter in denoiser.parameters()) == published[0]
    projected = denoiser.text(torch.zeros(1, *wanted.words, device="meta"))
    layers = cross_attention(denoiser.unet)
    assert projected.shape[-1] == sum(2 * layer.to_out[0].in_features for layer in layers)
    latent = wanted.side // 8
    channels = folder.unet.config["in_channels"]
    rows = torch.zeros(2, channels, latent, latent, device="meta")
    times = denoiser.time(torch.zeros(2, device="meta"))
    assert denoiser(rows, times, projected.expand(2, -1, -1)).shape == (2, 4, latent, latent)


# what LCM-LoRA was trained for: every layer but the first and the last, and those of the timestep
LCM_LAYERS = (
    "to_q", "to_k", "to_v", "to_out.0", "proj_in", "proj_out", "ff.net.0.proj", "ff.net.2",
    "conv1", "conv2", "conv_shortcut", "downsamplers.0.conv", "upsamplers.0.conv", "time_emb_proj",
)  # fmt: skip
RANK = 64
NAMES = {  # as the file that was published has them, and as diffusers writes them today
    "lora_unet_{flat}": ("lora_down", "lora_up"),
    "unet.{dotted}": ("lora_A", "lora_B"),
}


@pytest.mark.parametrize("naming", NAMES)
def test_lcm_lora_at_its_true_shapes_finds_a_layer_for_each_of_its_own(
    naming: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By its header alone; what it adds is compared in test_diffusers_pipelines.py."""
    with torch.device("meta"):
        unet = make_network("sd15")
    shapes: dict[str, tuple[int, ...]] = {}
    for name, layer in unet.named_modules():
        if isinstance(layer, nn.Linear | nn.Conv2d) and name.endswith(LCM_LAYERS):
            prefix = naming.format(flat=name.replace(".", "_"), dotted=name)
            width, inputs, *kernel = layer.weight.shape
            down, up = NAMES[naming]
            shapes[f"{prefix}.{down}.weight"] = (RANK, inputs, *kernel)
            shapes[f"{prefix}.{up}.weight"] = (width, RANK, *(1 for _ in kernel))
    numbers = sum(map(math.prod, shapes.values()))
    if naming.startswith("lora"):  # peft leaves it out where it is the rank
        shapes |= {f"{name.split('.')[0]}.alpha": () for name in shapes}
    write_holes(shapes, tmp_path / "lora.safetensors")

    def without_numbers(path: Path) -> dict[str, Tensor]:
        entries = read_header(path)
        return {
            name: torch.empty(each.shape, device="meta" if each.shape else "cpu")
            for name, each in entries.items()
        }

    monkeypatch.setattr(loader, "load_file", without_numbers)

    assert loader.add_lora(unet, tmp_path / "lora.safetensors") == 278
    assert numbers == 67_252_224  # the published file has 135 MB, two bytes a number
