"""The arms of a comparison. Each takes a picture of bytes on the host and gives one back.

Others are handed tensors in the form that they want, so that no arm pays for PIL. Designed after
performance.md section 9: A is diffusers, B StreamDiffusion, C Restyle.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from pipeline.backends import choose_backend
from pipeline.comparison.subject import Subject
from pipeline.config import BackendName, Device, EngineConfig, Precision
from pipeline.engine import Engine, build_engine
from pipeline.errors import BackendUnavailable
from pipeline.session_state import SessionState

Image = UInt8[np.ndarray, "h w 3"]
Arm = Callable[[Image], Image]
Progress = Callable[[str], None]


def restyle(
    subject: Subject,
    backend: BackendName,
    cache: Path,
    say: Progress,
    precision: Precision = "auto",
) -> tuple[Arm, Engine]:
    """Give the whole engine, noise and scheduler included. Raises BackendUnavailable."""
    device: Device = "cuda" if subject.device.type == "cuda" else "cpu"
    config = EngineConfig(
        model=str(subject.folder), width=subject.width, height=subject.height, device=device,
        backend=backend, cache=cache, max_rows=16, precision=precision,
    )  # fmt: skip
    choose_backend(config)
    engine = build_engine(config, say)
    if engine.info.backend != backend:
        raise BackendUnavailable(f"backend {backend} is not there: {engine.info.backend} came")
    style = subject.style
    engine.prepare(style)
    engine.open("bench")
    number = 0

    def run(image: Image) -> Image:
        nonlocal number
        number += 1
        engine.submit("bench", number, image, style)
        results = engine.tick()
        while not results:
            results = engine.tick()
        return results[0].image

    return run, engine


def auto_pipeline(subject: Subject, autoencoder: str = "vae") -> Arm:
    """Give diffusers' own image-to-image pipeline, with the same autoencoder or with another."""
    from diffusers import AutoPipelineForImage2Image

    pipeline = AutoPipelineForImage2Image.from_pipe(_stable_diffusion(subject, autoencoder))
    pipeline.set_progress_bar_config(disable=True)
    words = subject.words()

    def run(image: Image) -> Image:
        pixels = pipeline(
            prompt_embeds=words, image=_tensor(subject, image), strength=subject.strength,
            num_inference_steps=round(subject.steps / subject.strength), guidance_scale=1.0,
            output_type="pt",
        ).images  # fmt: skip
        return _bytes(pixels)

    return run


def stream_diffusion(subject: Subject, source: Path, compiled: bool = False) -> Arm:
    """Give StreamDiffusion's own pipeline, unmodified. Raises BackendUnavailable without it.

    It gets the noise that Restyle draws, so with one step both show the same. Without a GPU its
    CUDA events have stand-ins.
    """
    make = _find(source)
    pipeline = _stable_diffusion(subject)
    words = subject.words()
    pipeline.encode_prompt = lambda **_: (words, words)
    stream = make(
        pipeline, subject.indices, torch_dtype=subject.dtype, width=subject.width,
        height=subject.height, cfg_type="none",
    )  # fmt: skip
    stream.prepare("", num_inference_steps=50, guidance_scale=1.0)
    state = SessionState(tuple(stream.init_noise.shape[1:]), subject.device)
    fields = state.noise.still(subject.style)[: subject.steps]  # a stream batch has one a step
    stream.init_noise = fields.to(subject.dtype)
    if compiled:
        # what it calls: the autoencoder's own forward never runs
        for network in (stream.unet, stream.vae.encoder, stream.vae.decoder):
            network.forward = torch.compile(network.forward, mode="max-autotune", dynamic=False)

    def run(image: Image) -> Image:
        with _cuda_events(subject.device):
            return _bytes(stream(_tensor(subject, image)) / 2 + 0.5)

    return run


def _find(source: Path) -> Any:  # a class without types
    folder = source / "src" / "streamdiffusion"
    if not (folder / "pipeline.py").is_file():
        raise BackendUnavailable(
            f"streamdiffusion {source}: there is no src/streamdiffusion/pipeline.py; give the "
            "folder of a checkout of github.com/cumulo-autumn/StreamDiffusion"
        )
    sys.path.insert(0, str(source / "src"))
    try:
        from streamdiffusion import StreamDiffusion
    except ImportError as error:
        raise BackendUnavailable(f"streamdiffusion {source}: {error}") from error
    finally:
        sys.path.remove(str(source / "src"))
    return StreamDiffusion


def _stable_diffusion(subject: Subject, autoencoder: str = "vae") -> Any:  # it has no types
    from diffusers import DDIMScheduler, StableDiffusionPipeline

    return StableDiffusionPipeline(
        vae=subject.network(autoencoder), unet=subject.network("unet"), text_encoder=None,
        tokenizer=None, scheduler=DDIMScheduler.from_pretrained(subject.folder / "scheduler"),
        safety_checker=None, feature_extractor=None, requires_safety_checker=False,
    ).to(subject.device)  # fmt: skip


def _tensor(subject: Subject, image: Image) -> Tensor:
    """Give pixels of 0 to 1 on the device."""
    pixels = torch.from_numpy(image).to(subject.device).permute(2, 0, 1)[None]
    return pixels.to(subject.dtype) / 255


def _bytes(pixels: Tensor) -> Image:
    levels = (pixels[0].float() * 255).clamp(0, 255).round().byte().permute(1, 2, 0)
    return levels.cpu().numpy()


@contextmanager
def _cuda_events(device: torch.device) -> Iterator[None]:
    if device.type == "cuda":
        yield
        return
    kept = torch.cuda.Event, torch.cuda.synchronize
    torch.cuda.Event, torch.cuda.synchronize = _NoEvent, lambda *_: None  # type: ignore[misc,assignment]
    try:
        yield
    finally:
        torch.cuda.Event, torch.cuda.synchronize = kept  # type: ignore[misc]


class _NoEvent:
    """Stands in for a CUDA event where there is no GPU; the comparison times on its own."""

    def __init__(self, **_: object) -> None:
        pass

    def record(self) -> None:
        """Do nothing."""

    def elapsed_time(self, _: object) -> float:
        """Give no time."""
        return 0.0


def torch_device(name: str) -> torch.device:
    """Give the device that a name stands for."""
    return torch.device(name)


def device_name(device: torch.device) -> str:
    """Name a device for people."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"


def versions() -> dict[str, str]:
    """Give the versions that a result depends on."""
    import diffusers

    return {"torch": torch.__version__, "diffusers": diffusers.__version__}
