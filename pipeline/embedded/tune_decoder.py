"""Teach the decoder what the denoiser really gives it.

    python -m pipeline.embedded.tune_decoder [--cache .cache/embedded] [--minutes 12] [--smoke]

A latent that is a little wrong decodes into 8 × 8 blocks, since each stands for one patch. Here the
decoder sees the denoiser's own results beside the pictures that were wanted, and learns to join
them. Encoder and denoiser stay as they are.
"""

import argparse
import random
import time
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from tqdm import tqdm

from pipeline.embedded.styles import STYLES
from pipeline.embedded.train_autoencoder import Pictures, loss_of, psnr
from pipeline.embedded.train_autoencoder import load as load_autoencoder
from pipeline.embedded.train_unet import Trainer, noise_table, wording
from pipeline.models.patch_autoencoder import PatchAutoencoder

_CROP, _BATCH = 128, 8


class Pairs:
    """Crops of sources and of the styled pictures that belong to them."""

    def __init__(self, pictures: Pictures) -> None:
        self._stacks = pictures.stacks

    def draw(
        self, count: int
    ) -> tuple[Float[Tensor, "b 3 s s"], Float[Tensor, "b 3 s s"], list[int]]:
        """Give sources, what is wanted of them, and the styles."""
        sources, wanted, styles = [], [], []
        for _ in range(count):
            stack = self._stacks[random.randrange(len(self._stacks))]
            style = random.randrange(len(STYLES))
            top, left = (8 * random.randint(0, (stack.shape[1] - _CROP) // 8) for _ in "yx")
            for images, index in ((sources, 0), (wanted, 1 + style)):
                images.append(np.array(stack[index, top : top + _CROP, left : left + _CROP]))
            styles.append(style)
        return _tensor(sources), _tensor(wanted), styles


def _tensor(images: list[np.ndarray]) -> Tensor:
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float() / 127.5 - 1


class Denoiser:
    """The trained denoiser, one step, as live use runs it."""

    def __init__(self, trainer: Trainer) -> None:
        networks = trainer.average.module.eval()
        self._unet, self._text = networks["unet"], networks["text"]
        self._abar = noise_table()

    @torch.no_grad()
    def __call__(self, latents: Float[Tensor, "b c h w"], styles: list[int]) -> Tensor:
        """Restyle latents, from a noise level of live use."""
        steps = torch.randint(600, 1000, (len(latents),))
        a = self._abar[steps].sqrt()[:, None, None, None]
        b = (1 - self._abar[steps]).sqrt()[:, None, None, None]
        ids = torch.stack([self._text.token_ids(wording(style)) for style in styles])
        noisy = a * latents + b * torch.randn_like(latents)
        with torch.autocast("cpu", torch.bfloat16):
            rows = torch.cat([noisy, latents], 1)
            clean: Tensor = self._unet(rows, steps, self._text(ids), return_dict=False)[0]
        return clean.float()


def tune(model: PatchAutoencoder, denoise: Denoiser, pairs: Pairs, minutes: float) -> None:
    """Train the decoder's half; a third of each batch is plain coding, so that this stays good."""
    learned = [*model.decoder.parameters(), *model.linear_out.parameters()]
    optimiser = torch.optim.AdamW(learned, lr=8e-4, weight_decay=1e-4)
    started, average = time.monotonic(), 0.0
    progress = tqdm(unit="step", desc="decoder")
    while (share := (time.monotonic() - started) / 60 / minutes) < 1:
        optimiser.param_groups[0]["lr"] = 8e-4 * (1 - share)
        sources, wanted, styles = pairs.draw(_BATCH)
        with torch.no_grad():
            latents = model.encode(sources).latents
            plain = model.encode(wanted[: _BATCH // 2]).latents
        given = torch.cat([denoise(latents, styles), plain, latents[: _BATCH // 4]])
        goal = torch.cat([wanted, wanted[: _BATCH // 2], sources[: _BATCH // 4]])
        with torch.autocast("cpu", torch.bfloat16):
            decoded = model.decode(given).sample.float()
        loss = loss_of(decoded, goal)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(learned, 1.0)
        optimiser.step()
        quality = psnr(decoded[:_BATCH].detach(), goal[:_BATCH])
        average = quality if not average else 0.98 * average + 0.02 * quality
        progress.update()
        progress.set_postfix(psnr=f"{average:.2f}", refresh=False)
    progress.close()


def main() -> None:
    """Tune and save beside the untuned one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cache", type=Path, default=Path(".cache/embedded"))
    parser.add_argument("--minutes", type=float, default=12)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--smoke", action="store_true", help="a few steps only")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    model = load_autoencoder(arguments.cache / "autoencoder.pt")
    denoise = Denoiser(Trainer(arguments.cache, rate=1e-3))
    pairs = Pairs(Pictures(arguments.cache / "styled"))
    tune(model, denoise, pairs, 0.05 if arguments.smoke else arguments.minutes)
    torch.save(model.state_dict(), arguments.cache / "autoencoder_tuned.pt")


if __name__ == "__main__":
    main()
