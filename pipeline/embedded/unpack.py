"""Turn the shipped weights back into checkpoints, so that training goes on from them.

python -m pipeline.embedded.unpack [--cache .cache/embedded] [--model pipeline/embedded/weights]

Takes the place of text_table, train_autoencoder and train_unet; they, or distil, go on from here.
"""

import argparse
from pathlib import Path

import torch
from diffusers import UNet2DConditionModel

from pipeline.embedded import WEIGHTS
from pipeline.models.patch_autoencoder import PatchAutoencoder
from pipeline.models.static_text import StaticTextEncoder


def unpack(model: Path, cache: Path) -> None:
    """Write autoencoder.pt, text_table.pt and unet.pt, in float32."""
    cache.mkdir(parents=True, exist_ok=True)
    text = StaticTextEncoder.from_pretrained(model / "text_encoder")
    table = {"table": text.table.float(), "vocabulary": text.vocabulary}
    networks = torch.nn.ModuleDict(
        {
            "unet": UNet2DConditionModel.from_pretrained(model / "unet", low_cpu_mem_usage=False),
            "text": text,
        }
    ).float()
    weights = networks.state_dict()
    torch.save(table, cache / "text_table.pt")
    torch.save({"models": weights, "average": weights}, cache / "unet.pt")
    autoencoder = PatchAutoencoder.from_pretrained(model / "vae", low_cpu_mem_usage=False).float()
    torch.save(autoencoder.state_dict(), cache / "autoencoder.pt")


def main() -> None:
    """Unpack, without overwriting what has been trained."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cache", type=Path, default=Path(".cache/embedded"))
    parser.add_argument("--model", type=Path, default=WEIGHTS)
    arguments = parser.parse_args()
    for name in ("autoencoder.pt", "unet.pt", "distilled.pt"):
        if (arguments.cache / name).exists():
            raise SystemExit(f"{arguments.cache / name} is there: move it away first")
    unpack(arguments.model, arguments.cache)


if __name__ == "__main__":
    main()
