"""A frame asks the device for its picture and for nothing else: whoever asks waits for it."""

from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from pipeline import engine as engine_module
from pipeline import session_state
from pipeline.backends.transfer import send
from pipeline.engine import Engine
from pipeline.models.folder import open_folder
from pipeline.models.loader import load_text
from pipeline.params import StyleParams
from pipeline.results import Image
from tests.pipeline.conftest import Bench, drain, moving
from tests.pipeline.far_device import DEVICE, FarDevice

CPU = torch.device("cpu")
EVERYTHING = StyleParams(
    prompt="ink", negative_prompt="oil", guidance="full", guidance_scale=1.4, strength=0.6, steps=2,
    noise="warped", noise_warp=0.7, seed_blend=0.3, blend_seed=4, motion_noise=0.5, travel=0.1,
    deflicker=0.6, deflicker_search=True, similarity_filter=0.99,
)  # fmt: skip


class Plain:
    """Networks without weights, on any device."""

    name, batches = "plain", True

    def __init__(self, device: torch.device) -> None:
        self.device = device

    def encode(self, images: Tensor) -> Tensor:
        pixels = send(images, self.device).permute(0, 3, 1, 2).float() / 127.5 - 1
        small = functional.avg_pool2d(pixels, 8)
        return torch.cat([small, small[:, :1]], 1)

    def condition(self, words: Tensor) -> Tensor:
        return send(words, self.device)

    def denoise(self, rows: Tensor, timesteps: Sequence[float], prompts: Tensor) -> Tensor:
        return rows * 0.5 + prompts.mean((1, 2))[:, None, None, None]

    def decode(self, latents: Tensor) -> Tensor:
        pixels = latents[:, :3].repeat_interleave(8, 2).repeat_interleave(8, 3)
        return ((pixels + 1) * 127.5).clamp(0, 255).permute(0, 2, 3, 1).contiguous().to(torch.uint8)


class AtOnce(Executor):
    """Runs what it is given where it is given: the device is there in one thread only."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_result(fn(*args, **kwargs))
        return future


@pytest.fixture
def made(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Callable[[torch.device], Engine]:
    monkeypatch.setattr(session_state, "ASIDE", AtOnce())
    monkeypatch.setattr(engine_module, "load_text", lambda folder, device: load_text(folder, CPU))
    config = bench.config("sd15")

    def make(device: torch.device) -> Engine:
        engine = Engine(config, open_folder(config), Plain(device), clock=lambda: 0.0)
        engine.open("ann")
        return engine

    return make


def zooming(count: int) -> list[Image]:
    """Frames of a picture that grows, with a cut to another one after half of them."""
    scene = moving(1, side=64)[0]
    frames = []
    for number in range(count):
        size = round(64 * 1.12 ** (number % (count // 2)))
        left = (size - 64) // 2
        large = cv2.resize(scene if number < count // 2 else 255 - scene, (size, size))
        frames.append(np.ascontiguousarray(large[left : left + 64, left : left + 64]))
    return frames


@pytest.mark.parametrize(
    "style",
    [
        EVERYTHING,
        replace(EVERYTHING, noise_warp=1.0, seed_blend=0.0, guidance="initialize"),
        replace(EVERYTHING, noise="fixed", guidance="self", steps=1),
        replace(EVERYTHING, noise="fresh", guidance="none"),
    ],
)
def test_a_frame_asks_the_device_for_its_picture_alone(
    made: Callable[[torch.device], Engine], style: StyleParams
) -> None:
    shown: dict[torch.device, list[Image]] = {}
    with FarDevice() as device:
        for where in (DEVICE, CPU):
            engine, shown[where], pictures = made(where), [], 0
            engine.prepare(style)
            device.asked.clear()
            for number, image in enumerate([*moving(3), *zooming(8)]):
                engine.submit("ann", number, image, style, arrived=number / 30)
                results = drain(engine)
                pictures += sum(not result.skipped for result in results)
                shown[where] += [result.image for result in results]
            assert device.asked == (["_to_copy"] * pictures if where == DEVICE else [])
            assert pictures > 5

    assert device.ran > 100
    for far, here in zip(shown[DEVICE], shown[CPU], strict=True):
        assert np.array_equal(far, here)


def test_what_asks_the_device_is_noticed() -> None:
    """The test above can fail."""
    there = torch.arange(-4.0, 4.0)
    with FarDevice() as device:
        there = there.to(DEVICE)
        there[there > 0] = 1.0
        there[there > 0]
        float(there.max())
        bool((there > 0).any())
        torch.bincount(there.abs().long())
        assert device.asked == [
            "index_put_", "index", "_local_scalar_dense", "_local_scalar_dense", "bincount",
        ]  # fmt: skip
        with pytest.raises(AssertionError, match="on the device and on the host"):
            there + torch.ones(8)
