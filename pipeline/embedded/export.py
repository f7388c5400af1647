"""Write the trained networks as the diffusers-format folder that ships.

python -m pipeline.embedded.export [--cache .cache/embedded] [--to pipeline/embedded/weights]
"""

import argparse
import hashlib
import json
import shutil
from pathlib import Path

import torch

from pipeline.embedded import WEIGHTS
from pipeline.embedded.distil import begin
from pipeline.embedded.styles import STYLES
from pipeline.models.folder import REFERENCE

_INDEX = {
    "_class_name": "RestyleImg2ImgPipeline",
    "unet": ["diffusers", "UNet2DConditionModel"],
    "vae": ["pipeline.models.patch_autoencoder", "PatchAutoencoder"],
    "text_encoder": ["pipeline.models.static_text", "StaticTextEncoder"],
    "scheduler": ["diffusers", "DDPMScheduler"],
}
_SCHEDULER = {
    "_class_name": "DDPMScheduler",
    "beta_schedule": "scaled_linear",
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "num_train_timesteps": 1000,
    "prediction_type": "sample",
}
_KEPT = ("MODEL_CARD.md", "provenance.json")  # written by people


def export(cache: Path, to: Path) -> None:
    """Write the averaged weights as fp16; the old folder is replaced as a whole."""
    averaged = begin(cache, rate=0.0, device=torch.device("cpu")).average.module
    partial = to.with_name(f"{to.name}.tmp")
    shutil.rmtree(partial, ignore_errors=True)
    averaged["unet"].half().save_pretrained(partial / "unet")
    averaged["autoencoder"].half().save_pretrained(partial / "vae")
    averaged["text"].save_pretrained(partial / "text_encoder")
    _write(partial / "scheduler" / "scheduler_config.json", _SCHEDULER)
    _write(partial / "model_index.json", _INDEX)
    presets = [
        {"name": s.name, "prompt": s.prompt, "examples": list(s.wordings[:6])} for s in STYLES
    ]
    _write(partial / "styles.json", presets)
    for source in (to / REFERENCE, cache / REFERENCE):  # that of this training, if it made one
        if source.exists():
            shutil.copy2(source, partial / REFERENCE)
    for name in _KEPT:
        if (to / name).exists():
            shutil.copy2(to / name, partial / name)
    weights = sorted(partial.rglob("*.safetensors"))
    checksums = {
        path.relative_to(partial).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in (*weights, partial / "text_encoder" / "vocab.txt")
    }
    _write(partial / "checksums.json", checksums)
    shutil.rmtree(to, ignore_errors=True)
    partial.rename(to)


def _write(path: Path, content: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=2) + "\n")


def main() -> None:
    """Export and say how large it is."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cache", type=Path, default=Path(".cache/embedded"))
    parser.add_argument("--to", type=Path, default=WEIGHTS)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    export(arguments.cache, arguments.to)
    size = sum(path.stat().st_size for path in arguments.to.rglob("*") if path.is_file())
    print(f"{arguments.to}: {size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
