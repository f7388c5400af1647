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
from pathlib import Path

import torch
from diffusers import UNet2DConditionModel
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from pipeline.embedded.drawing import Drawn, Prompts, Rows
from pipeline.embedded.styles import STYLES
from pipeline.embedded.train_autoencoder import load as load_autoencoder
from pipeline.embedded.training import Training, ahead, device_of, half_precision
from pipeline.models.patch_autoencoder import PatchAutoencoder
from pipeline.models.static_text import StaticTextEncoder

_WORD_NOISE = 0.25  # standard deviation, where a word's vector has one of 1
FULL_AT = 700  # timestep from which on the whole style is asked for


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


def draw_timesteps(count: int) -> Int[Tensor, "b"]:
    """Draw noise levels: half of them high, where a single live step starts."""
    high = torch.randint(700, 1000, (count,))
    return torch.where(torch.rand(count) < 0.55, high, torch.randint(0, 1000, (count,)))


def losses_of(
    training: Training, autoencoder: PatchAutoencoder, rows: Rows, abar: Tensor
) -> dict[str, Tensor]:
    """Predict the clean result of noisy starts; see the module's first lines."""
    steps = draw_timesteps(len(rows.source)).to(training.device)
    a = abar[steps].sqrt()[:, None, None, None]
    b = (1 - abar[steps]).sqrt()[:, None, None, None]
    share = (steps / FULL_AT).clamp(max=1)[:, None, None, None]
    with half_precision(training.device):
        with torch.no_grad():
            source, styled = autoencoder.encode(
                torch.cat([rows.source, rows.styled])
            ).latents.chunk(2)
        start = torch.lerp(source, styled, rows.along[:, None, None, None])
        # without a style nothing is to change, whatever the start
        target = torch.lerp(start, styled, share)
        words, misread = embed(training.models["text"], rows.prompts)
        noisy = torch.cat([a * start + b * rows.noise[0], source], 1)
        predicted = training.models["unet"](noisy, steps, words, return_dict=False)[0].float()
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


def train(
    training: Training,
    autoencoder: PatchAutoencoder,
    drawn: Drawn,
    minutes: float,
    batch: int,
    side: int,
) -> None:
    """Train for a time on crops of `side` pixels."""
    abar = noise_table(training.device)
    rows = ahead(lambda: drawn.rows(batch, side), training.device)
    for share in training.clock(minutes, f"denoiser, {side} px"):
        training.step(losses_of(training, autoencoder, next(rows), abar), share)


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
    autoencoder = load_autoencoder(arguments.cache / "autoencoder.pt").to(training.device)
    drawn = Drawn(arguments.cache, training.models["text"], autoencoder.config.latent_channels)
    if arguments.smoke:
        train(training, autoencoder, drawn, 0.05, 2, 128)
        return
    whole = arguments.whole * arguments.minutes
    train(training, autoencoder, drawn, arguments.minutes - whole, arguments.batch, 128)
    if whole:
        training.rate /= 3
        train(training, autoencoder, drawn, whole, arguments.batch // 4, 256)


if __name__ == "__main__":
    main()
