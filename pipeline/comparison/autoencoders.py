"""What an autoencoder costs: the one that a model came with beside a tiny one, or any other."""

import json
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from pipeline.comparison.playing import Bench, in_turns
from pipeline.config import EngineConfig
from pipeline.engine import build_engine
from pipeline.errors import ConfigError
from pipeline.models.architectures import ARCHITECTURES, make_network
from pipeline.models.folder import CLASSES, open_folder
from pipeline.params import StyleParams


def find_autoencoders(config: EngineConfig) -> dict[str, Path]:
    """Give the folders of a model's autoencoders by class, the configured one first.

    They are the one that `config.autoencoder` names, the model's own, and others in its folder; of
    two of one class the first.
    """
    used = open_folder(config)
    found = {used.autoencoder.class_name: used.autoencoder.folder}
    for path in sorted(used.path.glob("*/config.json"), key=lambda path: path.parent.name != "vae"):
        name = json.loads(path.read_text()).get("_class_name")
        if name in CLASSES["vae"]:
            found.setdefault(name, path.parent)
    return found


def autoencoders(
    bench: Bench, style: StyleParams, frames: int, say: Callable[[str], None]
) -> dict[str, dict[str, float]]:
    """Give milliseconds a frame with each autoencoder of a model, and what its halves take.

    With one autoencoder there is nothing to compare. Raises ConfigError then, and as
    `build_engine` does for one that does not fit.
    """
    config = bench.engine.config
    first, *others = find_autoencoders(config).items()
    if not others:
        raise ConfigError(
            f"not measured: {first[0]} is the only one here; --autoencoder gives another"
        )
    benches = {first[0]: bench}
    for name, folder in others:
        say(f"loading {name}")
        engine = build_engine(replace(config, autoencoder=str(folder)), say)
        benches[name] = Bench(engine.networks, engine.config, bench.images)
    plays = {name: partial(each.play, {"a": style}) for name, each in benches.items()}
    played = in_turns(plays, frames)
    quickest = max(each.fps for each in played.values())
    return {
        name: {
            "encode_ms": each.stages_ms["encode"],
            "decode_ms": each.stages_ms["decode"],
            "ms_per_frame": each.ms(each.seconds),
            "times_as_long": round(quickest / each.fps, 2),
        }
        for name, each in played.items()
    }


def write_kl_vae(to: Path, small: bool) -> None:
    """Write a KL-VAE with random weights: the true one, or one to go with a small UNet."""
    network = make_network("kl-vae") if not small else _small_kl_vae()
    network.save_pretrained(to)


def _small_kl_vae() -> Any:  # diffusers has no types
    from diffusers import AutoencoderKL

    config = ARCHITECTURES["kl-vae"].config | {"block_out_channels": (16, 32, 64, 64)}
    return AutoencoderKL(**config, norm_num_groups=8)
