"""Teach the denoiser to be right in one step and in pixels: sharp, without a grid, steady.

    python -m pipeline.embedded.distil [--cache .cache/embedded] [--minutes 40] [--smoke]

Training in latent space leaves the mean of all strokes that could be; what is decoded from it is
soft and shows the borders of the patches. Here a result is decoded and compared with the teacher's
picture by pixels, by features and by texture, and decoder and denoiser learn from that together.
Rows come in pairs: the same picture a few pixels further, with other sensor noise, and with the
noise carried along (Go-with-the-Flow, Burgert et al. 2025, arXiv:2501.08331). Where both show the
same, they are to look the same. A third of the batches takes two steps, some take a light touch.
"""

import argparse
import random
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from pipeline.embedded.drawing import Drawn, Rows
from pipeline.embedded.perceptual import Perceptual, difference
from pipeline.embedded.train_autoencoder import load as load_autoencoder
from pipeline.embedded.train_unet import FULL_AT, embed, make_models, noise_table
from pipeline.embedded.training import Training, ahead, device_of, half_precision

_SIDE = 128
_FIRST, _SECOND = (699, 1000), (299, 600)  # timesteps: strength .7 to 1, then about half
_LIGHT = (99, 700)  # less than the whole style is asked for
_TWO_STEPS, _LIGHT_TOUCHES = 0.33, 0.15
_EDGE = 8  # pixels at a crop's border that are not compared between the two of a pair
_WEIGHTS = {"pixels": 1.0, "edges": 1.0, "features": 3.0, "texture": 1.0, "steady": 1.0,
            "latents": 0.2, "autoencoder": 0.5, "words": 0.05}  # fmt: skip


def draw_timesteps(pairs: int) -> tuple[list[Tensor], Tensor]:
    """Draw the timesteps of one or two steps, the same for both of a pair, and the style's share.

    What one step from a lower noise level is to give lies that share of the way to the style.
    """
    chance = random.random()
    if chance < _TWO_STEPS:
        levels = [_FIRST, _SECOND]
    else:
        levels = [_LIGHT if chance < _TWO_STEPS + _LIGHT_TOUCHES else _FIRST]
    steps = [torch.randint(*level, (pairs,)).repeat_interleave(2) for level in levels]
    return steps, (steps[0] / FULL_AT).clamp(max=1)


def predict(
    training: Training, source: Tensor, pairs: Rows, words: Tensor, levels: list[Tensor]
) -> Tensor:
    """Denoise in one step or two; gradients go through the last."""
    abar, unet = noise_table(source.device), training.models["unet"]
    start = source
    for number, steps in enumerate(levels):
        a, b = (root.sqrt()[:, None, None, None] for root in (abar[steps], 1 - abar[steps]))
        rows = torch.cat([a * start + b * pairs.noise[number], source], 1)
        with torch.set_grad_enabled(number == len(levels) - 1):
            start = unet(rows, steps, words, return_dict=False)[0].float()
    return start


def losses_of(training: Training, perceptual: Perceptual, pairs: Rows) -> dict[str, Tensor]:
    """Compare decoded results with the teacher's pictures, and the two of each pair."""
    autoencoder = training.models["autoencoder"]
    levels, share = draw_timesteps(len(pairs.shifts))
    levels, share = [steps.to(training.device) for steps in levels], share.to(training.device)
    styled = torch.lerp(pairs.source, pairs.styled, share[:, None, None, None])
    with half_precision(training.device):
        with torch.no_grad():
            source, wanted = autoencoder.encode(torch.cat([pairs.source, styled])).latents.chunk(2)
            looks = perceptual(styled[::2])  # the other of a pair looks the same
        words, misread = embed(training.models["text"], pairs.prompts, same_noise_in_pairs=True)
        latents = predict(training, source.float(), pairs, words, levels)
        kept = random.choice((source, wanted))
        decoded, back = (
            autoencoder.decode(torch.cat([latents.to(kept.dtype), kept])).sample.float().chunk(2)
        )
        features, texture = difference(perceptual(decoded[::2]), looks)
    original = pairs.source if kept is source else styled
    losses = {
        "pixels": functional.l1_loss(decoded, styled),
        "edges": edges(decoded, styled),
        "features": features,
        "texture": texture,
        "steady": unsteadiness(decoded, pairs.shifts),
        "latents": functional.mse_loss(latents, wanted.float()),
        # the decoder goes on knowing plain pictures
        "autoencoder": functional.l1_loss(back, original) + edges(back, original),
        "words": misread,
    }
    return {name: _WEIGHTS[name] * loss for name, loss in losses.items()}


def edges(one: Tensor, other: Tensor) -> Tensor:
    """Give the mean difference of gradients."""
    pairs = ((one.diff(dim=d), other.diff(dim=d)) for d in (-1, -2))
    return torch.stack([functional.l1_loss(a, b) for a, b in pairs]).sum()


def unsteadiness(images: Float[Tensor, "b 3 h w"], shifts: list[tuple[int, int]]) -> Tensor:
    """Give the mean difference within each pair where both show the same."""
    side = images.shape[-1]
    differences = []
    for number, (dy, dx) in enumerate(shifts):
        first, second = images[2 * number], images[2 * number + 1]
        moved = first[:, dy + _EDGE : side - _EDGE, dx + _EDGE : side - _EDGE]
        still = second[:, _EDGE : side - _EDGE - dy, _EDGE : side - _EDGE - dx]
        differences.append(functional.l1_loss(moved, still))
    return torch.stack(differences).mean()


def begin(cache: Path, rate: float, device: torch.device) -> Training:
    """Go on from the last checkpoint, or begin with what the stages before have trained."""
    autoencoder = load_autoencoder(cache / "autoencoder.pt")
    # new latents would be strange to the denoiser
    for part in (autoencoder.linear_in, autoencoder.encoder):
        part.requires_grad_(requires_grad=False)
    models = make_models(cache) | {"autoencoder": autoencoder}
    training = Training(models, cache / "distilled.pt", rate, device)
    if not training.steps:
        training.start_from(cache / "unet.pt", "average")
    return training


def main() -> None:
    """Train for a time."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cache", type=Path, default=Path(".cache/embedded"))
    parser.add_argument("--minutes", type=float, default=40)
    parser.add_argument("--rate", type=float, default=3e-4)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="auto", help="cpu or cuda")
    parser.add_argument("--pairs", type=int, default=4, help="a step; a GPU takes 32")
    parser.add_argument("--smoke", action="store_true", help="a few steps, no network")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    training = begin(arguments.cache, arguments.rate, device_of(arguments.device))
    perceptual = Perceptual(None if arguments.smoke else arguments.cache).to(training.device)
    channels = training.models["autoencoder"].config.latent_channels
    drawn = Drawn(arguments.cache, training.models["text"], channels)
    minutes, pairs = (0.05, 1) if arguments.smoke else (arguments.minutes, arguments.pairs)
    batches = ahead(lambda: drawn.pairs(pairs, _SIDE), training.device)
    for share in training.clock(minutes, "one step, in pixels"):
        training.step(losses_of(training, perceptual, next(batches)), share)


if __name__ == "__main__":
    main()
