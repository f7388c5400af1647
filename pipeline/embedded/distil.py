"""Teach the denoiser to be right in one step and in pixels: sharp, without a grid, steady.

    python -m pipeline.embedded.distil [--cache .cache/embedded] [--minutes 40] [--smoke]

Training in latent space leaves the mean of all strokes that could be; what is decoded from it is
soft and shows the borders of the patches. Here a result is decoded and compared with the teacher's
picture by pixels, by features and by texture, and decoder and denoiser learn from that together.
Rows come in pairs: the same picture a few pixels further, with other sensor noise, and with the
noise carried along (Go-with-the-Flow, Burgert et al. 2025, arXiv:2501.08331). Where both show the
same, they are to look the same. A third of the batches takes two steps.
"""

import argparse
import random
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from pipeline.embedded.filters import ON_A_GRID
from pipeline.embedded.perceptual import Perceptual, difference
from pipeline.embedded.styles import STYLES
from pipeline.embedded.train_autoencoder import Pictures
from pipeline.embedded.train_autoencoder import load as load_autoencoder
from pipeline.embedded.train_unet import Prompts, embed, make_models, noise_table, tokenise
from pipeline.embedded.training import Training, ahead, device_of, half_precision
from pipeline.embedded.wording import Wordings

_SIDE = 128
_FAR = 6  # pixels between the two pictures of a pair, at most
_SENSOR_NOISE = 4.0 / 127.5  # four grey levels, at most
_FIRST, _SECOND = (699, 1000), (299, 600)  # timesteps: strength .7 to 1, then about half
_TWO_STEPS = 0.33
_EDGE = 8  # pixels at a crop's border that are not compared between the two of a pair
_WEIGHTS = {"pixels": 1.0, "edges": 1.0, "features": 3.0, "texture": 1.0, "steady": 1.0,
            "latents": 0.2, "autoencoder": 0.5, "words": 0.05}  # fmt: skip


@dataclass(slots=True)
class Pairs:
    """Pictures in -1 .. 1, and noise; rows 2i and 2i+1 show the same, `shifts[i]` pixels apart."""

    source: Float[Tensor, "b 3 h w"]
    styled: Float[Tensor, "b 3 h w"]
    noise: Float[Tensor, "steps b c h8 w8"]
    shifts: list[tuple[int, int]]
    prompts: Prompts


class Drawn:
    """Draws pairs from the rendered pictures."""

    def __init__(self, cache: Path, training: Training, channels: int) -> None:
        self._stacks = Pictures(cache / "styled").stacks
        self._text, self._channels = training.models["text"], channels
        self._wordings = Wordings(self._text.vocabulary, self._text.table.cpu())
        self._on_a_grid = {i for i, s in enumerate(STYLES) if s.teacher in ON_A_GRID}

    def pairs(self, count: int, side: int) -> Pairs:
        """Draw `count` pairs."""
        source, styled, noise, shifts, goals = [], [], [], [], []
        for _ in range(count):
            stack = self._stacks[random.randrange(len(self._stacks))]
            top, left = (32 * random.randint(0, (stack.shape[1] - side - _FAR) // 32) for _ in "yx")
            goal = self._wordings.goal()
            # what lies on a grid stays on the screen when the picture moves
            far = 0 if self._on_a_grid & set(goal.styles) else _FAR
            shift = (random.randint(0, far), random.randint(0, far))
            for dy, dx in ((0, 0), shift):
                cut = stack[:, top + dy : top + dy + side, left + dx : left + dx + side]
                crop = torch.from_numpy(np.array(cut)).permute(0, 3, 1, 2).float() / 127.5 - 1
                source.append(crop[0] + _SENSOR_NOISE * random.random() * torch.randn_like(crop[0]))
                styled.append(goal.picture(crop[0], crop[1:]))
            noise += carried_noise(self._channels, side, shift)
            shifts.append(shift)
            goals += [goal, goal]
        return Pairs(
            torch.stack(source),
            torch.stack(styled),
            torch.stack(noise, 1),
            shifts,
            tokenise(self._text, goals),
        )


def carried_noise(channels: int, side: int, shift: tuple[int, int]) -> list[Tensor]:
    """Give white noise for two frames, the second's moved by whole pixels: 2 × [2 steps, c, h, w].

    A fine field is cut twice and each eight by eight pixels are summed: both are white, and they
    agree as far as the two pictures overlap.
    """
    fine = torch.randn(2, channels, side + _FAR, side + _FAR)
    cuts = (fine[..., dy : dy + side, dx : dx + side].contiguous() for dy, dx in ((0, 0), shift))
    return [8 * functional.avg_pool2d(cut, 8) for cut in cuts]


def predict(training: Training, source: Tensor, pairs: Pairs, words: Tensor) -> Tensor:
    """Denoise in one step, or now and then in two; gradients go through the last."""
    abar, unet = noise_table(source.device), training.models["unet"]
    start = source
    levels = (_FIRST, _SECOND) if random.random() < _TWO_STEPS else (_FIRST,)
    for number, level in enumerate(levels):
        # both of a pair take the same timestep
        steps = torch.randint(*level, (len(source) // 2,)).repeat_interleave(2).to(source.device)
        a, b = (root.sqrt()[:, None, None, None] for root in (abar[steps], 1 - abar[steps]))
        rows = torch.cat([a * start + b * pairs.noise[number], source], 1)
        with torch.set_grad_enabled(number == len(levels) - 1):
            start = unet(rows, steps, words, return_dict=False)[0].float()
    return start


def losses_of(training: Training, perceptual: Perceptual, pairs: Pairs) -> dict[str, Tensor]:
    """Compare decoded results with the teacher's pictures, and the two of each pair."""
    autoencoder = training.models["autoencoder"]
    with half_precision(training.device):
        with torch.no_grad():
            source, wanted = autoencoder.encode(
                torch.cat([pairs.source, pairs.styled])
            ).latents.chunk(2)
            looks = perceptual(pairs.styled[::2])  # the other of a pair looks the same
        words, misread = embed(training.models["text"], pairs.prompts, same_noise_in_pairs=True)
        latents = predict(training, source.float(), pairs, words)
        kept = random.choice((source, wanted))
        decoded, back = (
            autoencoder.decode(torch.cat([latents.to(kept.dtype), kept])).sample.float().chunk(2)
        )
        features, texture = difference(perceptual(decoded[::2]), looks)
    original = pairs.source if kept is source else pairs.styled
    losses = {
        "pixels": functional.l1_loss(decoded, pairs.styled),
        "edges": edges(decoded, pairs.styled),
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
    drawn = Drawn(arguments.cache, training, channels)
    minutes, pairs = (0.05, 1) if arguments.smoke else (arguments.minutes, arguments.pairs)
    batches = ahead(lambda: drawn.pairs(pairs, _SIDE), training.device)
    for share in training.clock(minutes, "one step, in pixels"):
        training.step(losses_of(training, perceptual, next(batches)), share)


if __name__ == "__main__":
    main()
