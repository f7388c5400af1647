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
from pipeline.embedded.training import Training, ahead, device_of, half_precision
from pipeline.embedded.wording import Goal, Wordings
from pipeline.models.static_text import StaticTextEncoder

_WORD_NOISE = 0.25  # standard deviation, where a word's vector has one of 1
_SENSOR_NOISE = (0.0, 3.0, 6.0)  # grey levels, of the kept views of each source
_GRID = 4  # crops start at multiples of 4 latents, where the filters' patterns begin
_FULL_AT = 700  # timestep from which on the whole style is asked for


@dataclass(slots=True)
class Prompts:
    """Each row's words: two prompts, how much of the second, and which styles they mean."""

    one: Int[Tensor, "b tokens"]
    other: Int[Tensor, "b tokens"]
    weight: Float[Tensor, "b"]
    styles: Float[Tensor, "b styles_and_none"]


@dataclass(slots=True)
class Batch:
    """Rows to train on."""

    source: Float[Tensor, "b c h w"]
    start: Float[Tensor, "b c h w"]
    styled: Float[Tensor, "b c h w"]
    prompts: Prompts


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
        # the prompt also scales and shifts every block, or the top level would not know it
        addition_embed_type="text",
        addition_embed_type_num_heads=4,
        resnet_time_scale_shift="scale_shift",
    )


def noise_table(device: torch.device) -> Float[Tensor, "1000"]:
    """Give abar(t) of the scaled-linear schedule of Stable Diffusion."""
    betas = torch.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2
    return torch.cumprod(1 - betas, 0).to(device)


class Latents:
    """Latents of all rendered pictures, and random training rows cut from them."""

    def __init__(self, cache: Path, text: StaticTextEncoder) -> None:
        self._stacks = encode_all(cache)
        self._text = text
        self._wordings = Wordings(text.vocabulary, text.table.cpu())

    def batch(self, count: int, size: int) -> Batch:
        """Draw rows: one crop each, in one style, blended styles or none."""
        source, start, styled, goals = [], [], [], []
        for _ in range(count):
            stack = self._stacks[random.randrange(len(self._stacks))]
            top, left = (_GRID * random.randint(0, (stack.shape[-1] - size) // _GRID) for _ in "yx")
            crop = stack[..., top : top + size, left : left + size]
            seen = crop[random.randrange(len(_SENSOR_NOISE))].float()
            goal = self._wordings.goal()
            wanted = goal.picture(crop[0], crop[len(_SENSOR_NOISE) :])
            along = random.choices((0.0, 1.0, random.random()), (0.7, 0.12, 0.18))[0]
            source.append(seen)
            start.append(torch.lerp(seen, wanted, along))
            # without a style nothing is to change, whatever the start
            styled.append(wanted if goal.styles else start[-1])
            goals.append(goal)
        prompts = tokenise(self._text, goals)
        return Batch(torch.stack(source), torch.stack(start), torch.stack(styled), prompts)


def tokenise(text: StaticTextEncoder, goals: list[Goal]) -> Prompts:
    """Turn drawn words into tensors."""
    styles = torch.zeros(len(goals), len(STYLES) + 1)
    for row, goal in zip(styles, goals, strict=True):
        # the first prompt alone is judged
        meant = goal.styles[:1] if goal.other_prompt else goal.styles
        row[list(meant) or [-1]] = 1 / max(len(meant), 1)
    return Prompts(
        torch.stack([text.token_ids(goal.prompt) for goal in goals]),
        torch.stack([text.token_ids(goal.other_prompt) for goal in goals]),
        torch.tensor([goal.prompt_weight for goal in goals]),
        styles,
    )


def embed(
    text: StaticTextEncoder, prompts: Prompts, same_noise_in_pairs: bool = False
) -> tuple[Tensor, Tensor]:
    """Embed prompts, their words a little wrong; also give how badly the styles were recognised."""

    def noisy(ids: Tensor) -> Tensor:
        vectors: Tensor = text.table[ids]
        noise = torch.randn_like(vectors)
        if same_noise_in_pairs:
            noise = noise[::2].repeat_interleave(2, 0)
        return text.mix_pieces(vectors + _WORD_NOISE * noise, ids == 0)

    one, other = noisy(prompts.one), noisy(prompts.other)
    logits = text.judge(one)
    mixed = torch.lerp(one, other, prompts.weight[:, None, None].to(one.dtype))
    return mixed, functional.cross_entropy(logits.float(), prompts.styles)


@torch.inference_mode()
def encode_all(cache: Path) -> list[Tensor]:
    """Encode every source, also with sensor noise, and all its styles; kept in a file.

    Each stack is [3 views of the source, then the styles; c; h; w].
    """
    checkpoint, kept = cache / "autoencoder.pt", cache / "latents.pt"
    if kept.exists() and kept.stat().st_mtime > checkpoint.stat().st_mtime:
        stacks: list[Tensor] = torch.load(kept, weights_only=True)
        return stacks
    torch.manual_seed(0)
    autoencoder = load_autoencoder(checkpoint).eval()
    stacks = []
    for stack in tqdm(Pictures(cache / "styled").stacks, desc="latents"):
        images = torch.from_numpy(np.array(stack)).permute(0, 3, 1, 2).float() / 127.5 - 1
        noise = torch.tensor(_SENSOR_NOISE)[:, None, None, None] / 127.5
        seen = images[:1] + noise * torch.randn(len(noise), *images.shape[1:])
        stacks.append(autoencoder.encode(torch.cat([seen, images[1:]])).latents.half())
    torch.save(stacks, kept)
    return stacks


def draw_timesteps(count: int) -> Int[Tensor, "b"]:
    """Draw noise levels: half of them high, where a single live step starts."""
    high = torch.randint(700, 1000, (count,))
    return torch.where(torch.rand(count) < 0.55, high, torch.randint(0, 1000, (count,)))


def losses_of(training: Training, batch: Batch, abar: Tensor) -> dict[str, Tensor]:
    """Predict the clean result of noisy starts; see the module's first lines."""
    steps = draw_timesteps(len(batch.source)).to(training.device)
    a = abar[steps].sqrt()[:, None, None, None]
    b = (1 - abar[steps]).sqrt()[:, None, None, None]
    share = (steps / _FULL_AT).clamp(max=1)[:, None, None, None]
    target = torch.lerp(batch.start, batch.styled, share)
    noisy = a * batch.start + b * torch.randn_like(batch.start)
    with half_precision(training.device):
        words, misread = embed(training.models["text"], batch.prompts)
        rows = torch.cat([noisy, batch.source], 1)
        predicted = training.models["unet"](rows, steps, words, return_dict=False)[0].float()
    error = functional.mse_loss(predicted, target) + 0.3 * functional.l1_loss(predicted, target)
    return {"latents": error, "words": 0.05 * misread}


def make_models(cache: Path) -> dict[str, torch.nn.Module]:
    """Make denoiser and text encoder, untrained but for the table of word pieces."""
    torch.manual_seed(0)
    random.seed(0)
    saved = torch.load(cache / "text_table.pt", weights_only=True)
    text = StaticTextEncoder(saved["vocabulary"], styles=len(STYLES))
    text.table.copy_(saved["table"])
    channels = load_autoencoder(cache / "autoencoder.pt").config.latent_channels
    return {"unet": make_unet(channels).to(memory_format=torch.channels_last), "text": text}


def train(training: Training, latents: Latents, minutes: float, batch: int, size: int) -> None:
    """Train for a time on crops of `size` latents a side."""
    abar = noise_table(training.device)
    rows = ahead(lambda: latents.batch(batch, size), training.device)
    for share in training.clock(minutes, f"denoiser, {8 * size} px"):
        training.step(losses_of(training, next(rows), abar), share)


def main() -> None:
    """Train on quarter pictures first, then on whole ones."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cache", type=Path, default=Path(".cache/embedded"))
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="auto", help="cpu or cuda")
    parser.add_argument("--batch", type=int, default=32, help="rows a step; a GPU takes 256")
    parser.add_argument("--whole", type=float, default=0.2, help="share of time on whole pictures")
    parser.add_argument("--start-from", type=Path, help="checkpoint of another run")
    parser.add_argument("--smoke", action="store_true", help="a few steps only")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    training = Training(
        make_models(arguments.cache),
        arguments.cache / "unet.pt",
        arguments.rate,
        device_of(arguments.device),
    )
    if arguments.start_from and not training.steps:
        training.start_from(arguments.start_from)
    latents = Latents(arguments.cache, training.models["text"])
    if arguments.smoke:
        train(training, latents, 0.05, 2, 16)
        return
    train(training, latents, arguments.minutes * (1 - arguments.whole), arguments.batch, 16)
    if arguments.whole:
        training.rate /= 3
        train(training, latents, arguments.minutes * arguments.whole, arguments.batch // 4, 32)


if __name__ == "__main__":
    main()
