"""What is measured: a model folder of a true architecture, with random weights.

Speed does not depend on what the weights are, so none has to be downloaded.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from pipeline.errors import ConfigError
from pipeline.models.architectures import make_network
from pipeline.models.static_text import StaticTextEncoder
from pipeline.params import StyleParams

TOKENS = 77  # of CLIP
PROMPT = "ink"
# of ARCHITECTURES: those that take one text and see no source
SUBJECTS = ("sd-turbo", "sd15", "mini")
_SCHEDULER = {
    "_class_name": "DDPMScheduler", "beta_schedule": "scaled_linear", "beta_start": 0.00085,
    "beta_end": 0.012, "num_train_timesteps": 1000, "prediction_type": "epsilon",
    "steps_offset": 1, "clip_sample": False,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Subject:
    """A written model, and what every arm is asked to do with it."""

    folder: Path
    width: int
    height: int
    steps: int
    device: torch.device
    strength: float = 0.5

    @property
    def dtype(self) -> torch.dtype:
        """Precision of the weights in every arm."""
        return torch.float16 if self.device.type == "cuda" else torch.float32

    @property
    def indices(self) -> list[int]:
        """Places in the grid of 50 timesteps, as Schedule.steps chooses them."""
        room = round(50 * self.strength)
        return [50 - room + i * (room // self.steps) for i in range(self.steps)]

    @property
    def style(self) -> StyleParams:
        """What Restyle is asked to do, as the others are."""
        return StyleParams(
            prompt=PROMPT,
            strength=self.strength,
            steps=self.steps,
            guidance_scale=1.0,
            deflicker=0.0,
        )

    def words(self) -> Float[Tensor, "1 t d"]:
        """Give the prompt as Restyle's text encoder does."""
        encoder = StaticTextEncoder.from_pretrained(self.folder / "text_encoder")
        return encoder.encode(PROMPT).to(self.device, self.dtype)

    def network(self, part: str) -> Any:  # diffusers has no types
        """Load a part as diffusers does."""
        import diffusers

        name = json.loads((self.folder / part / "config.json").read_text())["_class_name"]
        network = getattr(diffusers, name).from_pretrained(
            self.folder / part, low_cpu_mem_usage=False, torch_dtype=self.dtype
        )
        return network.requires_grad_(False).eval().to(self.device)


def write_subject(architecture: str, to: Path) -> None:
    """Write a folder that Restyle loads. Raises ConfigError for an architecture it cannot measure.

    The text encoder is a stand-in that gives words of the right shape: text is encoded once a
    prompt, never in a frame.
    """
    if architecture not in SUBJECTS:
        raise ConfigError(f"architecture {architecture!r}: give {', '.join(SUBJECTS)}")
    from diffusers import AutoencoderTiny

    torch.manual_seed(0)
    unet = make_network(architecture)
    unet.save_pretrained(to / "unet")
    if architecture == "mini":
        few = (1, 1, 1, 1)
        small: Any = {"num_encoder_blocks": few, "num_decoder_blocks": few}
        small |= {f"{half}_block_out_channels": (8, 8, 8, 8) for half in ("encoder", "decoder")}
        AutoencoderTiny(**small).save_pretrained(to / "vae")
    else:
        make_network("taesd").save_pretrained(to / "vae")
    words = ["[PAD]", "[UNK]", *"abcdefghijklmnopqrstuvwxyz0123456789"]
    width = unet.config.cross_attention_dim
    StaticTextEncoder(words, dim=width, tokens=TOKENS).save_pretrained(to / "text_encoder")
    index = {
        "_class_name": "StableDiffusionPipeline",
        "unet": ["diffusers", "UNet2DConditionModel"],
        "vae": ["diffusers", "AutoencoderTiny"],
        "text_encoder": ["restyle", "StaticTextEncoder"],
        "scheduler": ["diffusers", "DDPMScheduler"],
    }
    (to / "model_index.json").write_text(json.dumps(index))
    (to / "scheduler").mkdir()
    (to / "scheduler" / "scheduler_config.json").write_text(json.dumps(_SCHEDULER))
