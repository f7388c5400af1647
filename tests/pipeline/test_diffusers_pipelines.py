"""The engine beside diffusers' own pipelines, as they are, on the same weights and noise."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import diffusers
import pytest
import torch
from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution
from torch import Tensor

from pipeline.params import StyleParams
from pipeline.schedule import Schedule
from pipeline.session_state import SessionState
from tests.pipeline.conftest import Bench, alone, apart, picture

PIPELINES = {
    "sd15": "StableDiffusionImg2ImgPipeline",
    "turbo": "StableDiffusionImg2ImgPipeline",
    "sdxl": "StableDiffusionXLImg2ImgPipeline",
    "ip2p": "StableDiffusionInstructPix2PixPipeline",
}


def load(bench: Bench, family: str) -> Any:
    path = bench.models[family]
    scheduler = diffusers.LCMScheduler.from_config(
        diffusers.DDPMScheduler.load_config(path / "scheduler"),
        steps_offset=1, clip_sample=False,
    )  # fmt: skip
    pipeline = getattr(diffusers, PIPELINES[family]).from_pretrained(path, scheduler=scheduler)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def hand_out(noise: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let diffusers draw the engine's noise, and take the middle of what it encodes."""
    fields: Iterator[Tensor] = iter(noise.split(1))
    for module in (
        "schedulers.scheduling_lcm",
        "pipelines.stable_diffusion.pipeline_stable_diffusion_img2img",
        "pipelines.stable_diffusion_xl.pipeline_stable_diffusion_xl_img2img",
    ):
        monkeypatch.setattr(f"diffusers.{module}.randn_tensor", lambda *_, **__: next(fields))
    monkeypatch.setattr(
        DiagonalGaussianDistribution, "sample", lambda posterior, generator=None: posterior.mode()
    )


def drawn(params: StyleParams) -> Tensor:
    return SessionState((4, 8, 8), torch.device("cpu")).noise.still(params)


def pixels() -> Tensor:
    return torch.from_numpy(picture())[None].permute(0, 3, 1, 2) / 255


GUIDANCE = {
    "none": StyleParams(guidance_scale=1.0),
    "full": StyleParams(guidance_scale=2.5, negative_prompt="oil", guidance="full"),
}


@pytest.mark.parametrize("kind", GUIDANCE)
@pytest.mark.parametrize("steps", [1, 3])
@pytest.mark.parametrize("family", ["sd15", "turbo", "sdxl"])
def test_a_frame_is_what_image_to_image_gives(
    bench: Bench, family: str, steps: int, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, networks = bench.engine(family)
    params = replace(GUIDANCE[kind], prompt="ink", strength=0.6, steps=steps)
    pipeline = load(bench, family)
    chosen = Schedule(dict(pipeline.scheduler.config)).steps(params.strength, steps)
    hand_out(drawn(params), monkeypatch)

    theirs = pipeline(
        "ink", image=pixels(), timesteps=[int(step.timestep) for step in chosen], strength=1.0,
        guidance_scale=params.guidance_scale, negative_prompt=params.negative_prompt,
        output_type="latent",
    ).images  # fmt: skip
    alone(engine, picture(), params)

    assert apart(networks.latents[-1].clone(), theirs) < 1e-4


def test_a_frame_is_what_instruct_pix2pix_gives(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, networks = bench.engine("ip2p")
    params = StyleParams(prompt="ink", strength=1.0, steps=1, guidance_scale=1.0)
    pipeline = load(bench, "ip2p")
    (step,) = Schedule(dict(pipeline.scheduler.config)).steps(1.0, 1)
    with torch.no_grad():
        source = pipeline.vae.encode(pixels() * 2 - 1).latent_dist.mode()
    start = step.a * source * pipeline.vae.config.scaling_factor + step.b * drawn(params)[:1]

    theirs = pipeline(
        "ink", image=pixels(), latents=start, num_inference_steps=1, guidance_scale=1.0,
        output_type="latent",
    ).images  # fmt: skip
    alone(engine, picture(), params)

    assert apart(networks.latents[-1].clone(), theirs) < 1e-4
