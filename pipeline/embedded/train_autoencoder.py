"""Train the autoencoder on sources and styled pictures.

python -m pipeline.embedded.train_autoencoder [--cache .cache/embedded] [--minutes 20] [--smoke]
"""

import argparse
import time
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional
from tqdm import tqdm

from pipeline.embedded.training import ahead, device_of, half_precision
from pipeline.models.patch_autoencoder import PatchAutoencoder

_CROP, _BATCH = 128, 16
_SOURCE_SHARE = 0.4  # of each batch; the rest is styled pictures


class Pictures:
    """Random crops of all rendered pictures, held as bytes in memory."""

    def __init__(self, folder: Path, seed: int = 0) -> None:
        files = sorted(folder.glob("*.npy"))
        if not files:
            raise SystemExit(f"nothing in {folder}: run pipeline.embedded.teachers first")
        self.stacks: list[NDArray[np.uint8]] = [np.load(f, mmap_mode="r") for f in files]
        self._random = np.random.default_rng(seed)

    def crops(self, count: int, size: int) -> Float[Tensor, "count 3 size size"]:
        """Draw crops in -1 .. 1, half of them flipped, brightness and colour varied a little."""
        drawn = np.empty((count, size, size, 3), np.uint8)
        for row in drawn:
            stack = self.stacks[self._random.integers(len(self.stacks))]
            own = self._random.random() < _SOURCE_SHARE
            which = 0 if own else self._random.integers(1, len(stack))
            # styles begin at a latent's corner, as they do in use: dots and blocks lie on a grid
            step = 1 if own else 8
            top, left = step * self._random.integers(0, (stack.shape[1] - size) // step + 1, 2)
            row[:] = stack[which, top : top + size, left : left + size]
            if self._random.random() < 0.5:
                row[:] = row[:, ::-1].copy()
        images = torch.from_numpy(drawn).permute(0, 3, 1, 2).float() / 127.5 - 1
        gain = torch.from_numpy(self._random.uniform(0.7, 1.15, (count, 3, 1, 1))).float()
        return ((images + 1) * gain - 1).clamp(-1, 1)


def loss_of(decoded: Tensor, images: Tensor) -> Tensor:
    """Weigh plain error, and the error of gradients, which keeps edges sharp."""
    plain = functional.mse_loss(decoded, images) + 0.1 * functional.l1_loss(decoded, images)
    across = functional.l1_loss(decoded.diff(dim=-1), images.diff(dim=-1))
    down = functional.l1_loss(decoded.diff(dim=-2), images.diff(dim=-2))
    return plain + 0.1 * (across + down)


def psnr(decoded: Tensor, images: Tensor) -> float:
    """Peak signal-to-noise ratio in dB of pictures in -1 .. 1."""
    error = ((decoded.clamp(-1, 1) - images) / 2).square().mean((1, 2, 3))
    return float((-10 * error.log10()).mean())


def start(pictures: Pictures) -> PatchAutoencoder:
    """Make an autoencoder whose linear part is the principal components of patches."""
    torch.manual_seed(0)
    model = PatchAutoencoder()
    patches = functional.pixel_unshuffle(pictures.crops(96, _CROP), 8)
    model.set_principal_components(patches.permute(0, 2, 3, 1).reshape(-1, 192))
    return model


def train(
    model: PatchAutoencoder,
    pictures: Pictures,
    checkpoint: Path,
    minutes: float,
    rate: float,
    device: torch.device,
) -> None:
    """Train for a time, with a checkpoint a minute; the learning rate falls to zero at the end.

    A little noise is added to the latents, so that the decoder forgives what the
    denoiser gets slightly wrong.
    """
    optimiser = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=1e-4)
    batches = ahead(lambda: pictures.crops(_BATCH, _CROP), device)
    started = saved = time.monotonic()
    progress = tqdm(unit="step", desc="autoencoder")
    average = 0.0
    while (elapsed := (time.monotonic() - started) / 60) < minutes:
        share = elapsed / minutes
        optimiser.param_groups[0]["lr"] = rate * min(1, 20 * share + 0.05) * (1 - share) ** 0.7
        images = next(batches)
        with half_precision(device):
            latents = model.encode(images).latents
            noisy = latents + 0.05 * torch.randn_like(latents)
            decoded = model.decode(noisy).sample.float()
        loss = loss_of(decoded, images)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        quality = psnr(decoded.detach(), images)
        average = quality if not average else 0.98 * average + 0.02 * quality
        progress.update()
        progress.set_postfix(psnr=f"{average:.2f}", refresh=False)
        if time.monotonic() - saved > 60:
            saved = time.monotonic()
            torch.save(model.state_dict(), checkpoint)
    progress.close()
    torch.save(model.state_dict(), checkpoint)


@torch.no_grad()
def even_out(model: PatchAutoencoder, pictures: Pictures) -> None:
    """Bring the latent channels to about unit variance, strong ones staying a little stronger.

    Left alone, the first components have six times the spread of the last: the denoiser would
    learn colours and neglect strokes.
    """
    spread = model.encode(pictures.crops(128, _CROP)).latents.std((0, 2, 3))
    left = spread**0.25
    model.rescale(left / left.square().mean().sqrt() / spread)


def load(checkpoint: Path) -> PatchAutoencoder:
    """Read a checkpoint of this script."""
    model = PatchAutoencoder()
    model.load_state_dict(torch.load(checkpoint, map_location="cpu", weights_only=True))
    return model


def main() -> None:
    """Train, from the last checkpoint if there is one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cache", type=Path, default=Path(".cache/embedded"))
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="auto", help="cpu or cuda")
    parser.add_argument("--smoke", action="store_true", help="a few steps only")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    checkpoint = arguments.cache / "autoencoder.pt"
    pictures = Pictures(arguments.cache / "styled")
    fresh = not checkpoint.exists()
    model = start(pictures) if fresh else load(checkpoint)
    minutes = 0.05 if arguments.smoke else arguments.minutes
    device = device_of(arguments.device)
    model.to(device, memory_format=torch.channels_last)
    train(model, pictures, checkpoint, minutes, arguments.rate, device)
    model.cpu()
    if fresh:  # a resumed run keeps the scale that the denoiser may know already
        even_out(model, pictures)
        torch.save(model.state_dict(), checkpoint)


if __name__ == "__main__":
    main()
