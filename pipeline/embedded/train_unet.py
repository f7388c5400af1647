"""Train the denoiser and the prompt mixer together, in latent space.

    python -m pipeline.embedded.train_unet [--cache .cache/embedded] [--minutes 60] [--smoke]

The denoiser sees a noisy latent beside the clean source latent and predicts the clean result.
A start that lies anywhere between source and styled picture is taken a share s(t) of the way to
the styled one: a little noise is a light touch, much noise is the whole style, and several steps
go further. Without a prompt the target is the start itself, so nothing changes and guidance
extrapolates the style.
"""

import argparse
import random
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from diffusers import UNet2DConditionModel
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional
from tqdm import tqdm

from pipeline.embedded.styles import STYLES
from pipeline.embedded.train_autoencoder import Pictures
from pipeline.embedded.train_autoencoder import load as load_autoencoder
from pipeline.models.static_text import StaticTextEncoder

_TEMPLATES = (
    "{}", "{}", "{}", "a {}", "an {}", "{} style", "in the style of {}", "like {}", "as {}",
    "like a {}", "as a {}", "{} of a person", "a portrait as {}", "me as {}", "make it {}",
    "turn this into {}", "{}, detailed", "beautiful {}", "the room as {}", "{} art", "{} look",
    "{} effect", "this looks like {}",
)  # fmt: skip
_NO_PROMPT = 0.12
_BLEND = 0.12
_FULL_AT = 700  # timestep from which on the whole style is asked for


@dataclass(slots=True)
class Batch:
    """Rows to train on."""

    source: Float[Tensor, "b c h w"]
    start: Float[Tensor, "b c h w"]
    styled: Float[Tensor, "b c h w"]
    ids: Int[Tensor, "b tokens"]


def make_unet(latent_channels: int) -> UNet2DConditionModel:
    """Give the denoiser: no attention at the top level, where it would cost most."""
    return UNet2DConditionModel(
        sample_size=32,
        in_channels=2 * latent_channels,
        out_channels=latent_channels,
        block_out_channels=(48, 96, 160),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        layers_per_block=1,
        attention_head_dim=(3, 6, 10),  # diffusers reads this as the number of heads
        cross_attention_dim=128,
        norm_num_groups=16,
    )


def noise_table() -> Float[Tensor, "1000"]:
    """Give abar(t) of the scaled-linear schedule of Stable Diffusion."""
    betas = torch.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2
    return torch.cumprod(1 - betas, 0)


def wording(index: int) -> str:
    """Draw words for a style: a template round one of its wordings, now and then a word lost."""
    spec = STYLES[index]
    words = random.choice(_TEMPLATES).format(random.choice((spec.prompt, *spec.wordings))).split()
    if len(words) > 3 and random.random() < 0.15:
        words.pop(random.randrange(len(words)))
    return " ".join(words)


class Latents:
    """Latents of all rendered pictures, and random training rows cut from them."""

    def __init__(self, cache: Path, text: StaticTextEncoder) -> None:
        self._stacks = encode_all(cache)
        self._text = text

    def batch(self, count: int, size: int) -> Batch:
        """Draw rows: one crop each, in one style, blended styles or none."""
        source, start, styled, ids = [], [], [], []
        for _ in range(count):
            stack = self._stacks[random.randrange(len(self._stacks))].float()
            top, left = (random.randint(0, stack.shape[-1] - size) for _ in "yx")
            crop = stack[..., top : top + size, left : left + size]
            goal, words = self._goal(crop)
            along = random.choices((0.0, 1.0, random.random()), (0.7, 0.12, 0.18))[0]
            source.append(crop[0])
            start.append(torch.lerp(crop[0], goal, along))
            styled.append(goal if words else start[-1])
            ids.append(self._text.token_ids(words))
        return Batch(*(torch.stack(rows) for rows in (source, start, styled, ids)))

    def _goal(self, crop: Tensor) -> tuple[Tensor, str]:
        one, other = random.sample(range(len(STYLES)), 2)
        chance = random.random()
        if chance < _NO_PROMPT:
            return crop[1 + one], ""
        if chance < _NO_PROMPT + _BLEND:
            joined = random.choice(("{} and {}", "half {}, half {}", "{} mixed with {}"))
            names = [random.choice((STYLES[i].name.lower(), wording(i))) for i in (one, other)]
            return (crop[1 + one] + crop[1 + other]) / 2, joined.format(*names)
        return crop[1 + one], wording(one)


@torch.inference_mode()
def encode_all(cache: Path) -> list[Tensor]:
    """Encode every rendered picture and its mirror image; cached until the autoencoder changes."""
    checkpoint, kept = cache / "autoencoder.pt", cache / "latents.pt"
    if kept.exists() and kept.stat().st_mtime > checkpoint.stat().st_mtime:
        stacks: list[Tensor] = torch.load(kept, weights_only=True)
        return stacks
    autoencoder = load_autoencoder(checkpoint).eval()
    stacks = []
    for stack in tqdm(Pictures(cache / "styled").stacks, desc="latents"):
        images = torch.from_numpy(np.array(stack)).permute(0, 3, 1, 2).float() / 127.5 - 1
        for view in (images, images.flip(-1)):
            stacks.append(autoencoder.encode(view).latents.half())
    torch.save(stacks, kept)
    return stacks


def draw_timesteps(count: int) -> Int[Tensor, "b"]:
    """Draw noise levels: half of them high, where a single live step starts."""
    high = torch.randint(700, 1000, (count,))
    return torch.where(torch.rand(count) < 0.55, high, torch.randint(0, 1000, (count,)))


def loss_of(
    unet: UNet2DConditionModel, text: StaticTextEncoder, batch: Batch, abar: Tensor
) -> Tensor:
    """Predict the clean result of noisy starts; see the module's first lines."""
    steps = draw_timesteps(len(batch.source))
    a = abar[steps].sqrt()[:, None, None, None]
    b = (1 - abar[steps]).sqrt()[:, None, None, None]
    share = (steps / _FULL_AT).clamp(max=1)[:, None, None, None]
    target = torch.lerp(batch.start, batch.styled, share)
    noisy = a * batch.start + b * torch.randn_like(batch.start)
    with torch.autocast("cpu", torch.bfloat16):
        words = text(batch.ids)
        rows = torch.cat([noisy, batch.source], 1)
        predicted = unet(rows, steps, words, return_dict=False)[0].float()
    return functional.mse_loss(predicted, target) + 0.3 * functional.l1_loss(predicted, target)


class Trainer:
    """Denoiser, mixer, optimiser and a running average of the weights."""

    def __init__(self, cache: Path, rate: float) -> None:
        torch.manual_seed(0)
        random.seed(0)
        saved = torch.load(cache / "text_table.pt", weights_only=True)
        self.text = StaticTextEncoder(saved["vocabulary"])
        self.text.table.copy_(saved["table"])
        channels = load_autoencoder(cache / "autoencoder.pt").config.latent_channels
        self.unet = make_unet(channels).to(memory_format=torch.channels_last)
        self.models = torch.nn.ModuleDict({"unet": self.unet, "text": self.text})
        self.average = torch.optim.swa_utils.AveragedModel(
            self.models, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.995)
        )
        self.rate = rate
        self.optimiser = torch.optim.AdamW(self.models.parameters(), lr=rate, weight_decay=1e-3)
        self.checkpoint = cache / "unet.pt"
        self.steps = 0
        if self.checkpoint.exists():
            state = torch.load(self.checkpoint, weights_only=True)
            self.models.load_state_dict(state["models"])
            self.average.load_state_dict(state["average"])
            self.optimiser.load_state_dict(state["optimiser"])
            self.steps = state["steps"]

    def save(self) -> None:
        """Write everything that going on needs; never a half-written file."""
        partial = self.checkpoint.with_suffix(".tmp")
        state = {"models": self.models.state_dict(), "average": self.average.state_dict(),
                 "optimiser": self.optimiser.state_dict(), "steps": self.steps}  # fmt: skip
        torch.save(state, partial)
        partial.rename(self.checkpoint)

    def run(self, latents: Latents, minutes: float, batch: int, size: int) -> None:
        """Train for a time; the learning rate falls over the last half of it."""
        abar = noise_table()
        started = saved = time.monotonic()
        progress = tqdm(unit="step", desc=f"denoiser {size}px", initial=self.steps)
        mean = 0.0
        while (elapsed := (time.monotonic() - started) / 60) < minutes:
            share = elapsed / minutes
            warm = min(1.0, (self.steps + 1) / 100)
            self.optimiser.param_groups[0]["lr"] = self.rate * warm * min(1.0, 2.02 * (1 - share))
            loss = loss_of(self.unet, self.text, latents.batch(batch, size), abar)
            self.optimiser.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(self.models.parameters(), 1.0)
            self.optimiser.step()
            self.average.update_parameters(self.models)
            self.steps += 1
            mean = loss.item() if not mean else 0.98 * mean + 0.02 * loss.item()
            progress.update()
            progress.set_postfix(loss=f"{mean:.4f}", refresh=False)
            if time.monotonic() - saved > 120:
                saved = time.monotonic()
                self.save()
        progress.close()
        self.save()


def main() -> None:
    """Train on quarter pictures first, then on whole ones."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cache", type=Path, default=Path(".cache/embedded"))
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--whole", type=float, default=0.2, help="share of time on whole pictures")
    parser.add_argument("--smoke", action="store_true", help="a few steps only")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    trainer = Trainer(arguments.cache, arguments.rate)
    latents = Latents(arguments.cache, trainer.text)
    if arguments.smoke:
        trainer.run(latents, 0.05, 2, 16)
        return
    trainer.run(latents, arguments.minutes * (1 - arguments.whole), 32, 16)
    if arguments.whole:
        trainer.rate /= 3
        trainer.run(latents, arguments.minutes * arguments.whole, 8, 32)


if __name__ == "__main__":
    main()
