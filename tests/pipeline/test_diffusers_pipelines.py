"""The engine beside diffusers' own pipelines, as they are, on the same weights and noise."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch
from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution
from safetensors.torch import save_file
from torch import Tensor, nn

from pipeline.backends.eager import EagerNetworks
from pipeline.engine import Engine
from pipeline.models.folder import open_folder
from pipeline.params import StyleParams
from pipeline.schedule import Schedule
from pipeline.session_state import SessionState
from tests.pipeline.conftest import Bench, Recording, alone, apart, picture

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


def made(bench: Bench, family: str, **files: str) -> tuple[Engine, Recording]:
    """Give an engine whose weights are its own: `bench` shares those without a LoRA."""
    config = bench.config(family, **files)
    folder = open_folder(config)
    networks = Recording(EagerNetworks(folder, config, lambda message: None))
    return Engine(config, folder, networks), networks


def image_to_image(pipeline: Any, params: StyleParams, monkeypatch: pytest.MonkeyPatch) -> Tensor:
    """Give the latent that diffusers' own pipeline ends at."""
    chosen = Schedule(dict(pipeline.scheduler.config)).steps(params.strength, params.steps)
    hand_out(drawn(params), monkeypatch)
    latent: Tensor = pipeline(
        params.prompt, image=pixels(), timesteps=[int(step.timestep) for step in chosen],
        strength=1.0, guidance_scale=params.guidance_scale, output_type="latent",
    ).images  # fmt: skip
    return latent


FOUR = StyleParams(prompt="ink", strength=0.6, steps=4, guidance_scale=1.0)


@pytest.mark.parametrize("family", ["sd15", "sdxl"])
def test_with_taesd_a_frame_is_what_image_to_image_gives_with_it(
    bench: Bench, family: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    taesd = bench.models["turbo"] / "vae"
    pipeline = load(bench, family)
    pipeline.vae = diffusers.AutoencoderTiny.from_pretrained(taesd).eval()

    theirs = image_to_image(pipeline, FOUR, monkeypatch)
    engine, networks = made(bench, family, autoencoder=str(taesd))
    alone(engine, picture(), FOUR)

    assert apart(networks.latents[-1].clone(), theirs) < 1e-4


def write_lora(unet: nn.Module, to: Path, naming: str) -> dict[str, tuple[Tensor, Tensor]]:
    """Write a LoRA for every layer, named as LCM-LoRA or as diffusers does; give down and up by
    layer.
    """
    generator = torch.Generator().manual_seed(0)
    parts: dict[str, tuple[Tensor, Tensor]] = {}
    weights: dict[str, Tensor] = {}
    for name, layer in unet.named_modules():
        if isinstance(layer, nn.Linear | nn.Conv2d):
            width, inputs, *kernel = layer.weight.shape
            down = torch.randn(4, inputs, *kernel, generator=generator) / 4
            up = torch.randn(width, 4, *[1 for _ in kernel], generator=generator) / 4
            parts[name] = down, up
            if naming == "lcm-lora":
                flat = f"lora_unet_{name.replace('.', '_')}"
                weights |= {f"{flat}.lora_down.weight": down, f"{flat}.lora_up.weight": up}
                weights[f"{flat}.alpha"] = torch.tensor(1.0)
            else:  # the strength is in the numbers
                weights |= {f"unet.{name}.lora_A.weight": down / 4}
                weights |= {f"unet.{name}.lora_B.weight": up}
    save_file(weights, to)
    return parts


def beside(layer: Any, down: Tensor, up: Tensor) -> None:
    """Let a LoRA of rank 4 and alpha 1 run beside a layer, as peft does before it is fused."""
    if isinstance(layer, nn.Linear):
        first, second = nn.Linear(1, 1, bias=False), nn.Linear(1, 1, bias=False)
    else:
        shape = {"stride": layer.stride, "padding": layer.padding, "bias": False}
        first, second = nn.Conv2d(1, 1, layer.kernel_size, **shape), nn.Conv2d(1, 1, 1, bias=False)
    first.weight, second.weight = nn.Parameter(down, False), nn.Parameter(up, False)
    layer.register_forward_hook(lambda _, given, result: result + second(first(given[0])) / 4)


@pytest.mark.parametrize("naming", ["lcm-lora", "diffusers"])
def test_with_a_lora_for_every_layer_a_frame_is_what_image_to_image_gives_with_it_beside(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, naming: str
) -> None:
    """As SD 1.5 with LCM-LoRA: four steps without guidance."""
    pipeline, file = load(bench, "sd15"), tmp_path / "lora.safetensors"
    without = image_to_image(pipeline, FOUR, monkeypatch)
    for name, parts in write_lora(pipeline.unet, file, naming).items():
        beside(pipeline.unet.get_submodule(name), *parts)

    theirs = image_to_image(pipeline, FOUR, monkeypatch)
    engine, networks = made(bench, "sd15", lora=str(file))
    alone(engine, picture(), FOUR)

    assert apart(networks.latents[-1].clone(), theirs) < 1e-4
    assert apart(without, theirs) > 0.01  # it does something


@pytest.mark.parametrize(("steps", "kind"), [(1, "none"), (4, "none"), (3, "full")])
def test_a_frame_is_what_instruct_pix2pix_gives(
    bench: Bench, steps: int, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Full guidance leads away from the negative prompt beside the same source: theirs with an
    image guidance of 1.
    """
    engine, networks = bench.engine("ip2p")
    params = replace(GUIDANCE[kind], prompt="ink", strength=1.0, steps=steps)
    pipeline = load(bench, "ip2p")
    chosen = Schedule(dict(pipeline.scheduler.config)).steps(1.0, steps)
    with torch.no_grad():
        source = pipeline.vae.encode(pixels() * 2 - 1).latent_dist.mode()
    noise = drawn(params)
    first = chosen[0]
    start = first.a * source * pipeline.vae.config.scaling_factor + first.b * noise[:1]
    hand_out(noise[1:], monkeypatch)
    set_timesteps = pipeline.scheduler.set_timesteps
    monkeypatch.setattr(
        pipeline.scheduler, "set_timesteps",
        lambda count, device: set_timesteps(
            timesteps=[int(step.timestep) for step in chosen], device=device
        ),
    )  # fmt: skip

    theirs = pipeline(
        "ink", image=pixels(), latents=start, num_inference_steps=steps, image_guidance_scale=1.0,
        guidance_scale=params.guidance_scale, negative_prompt=params.negative_prompt,
        output_type="latent",
    ).images  # fmt: skip
    alone(engine, picture(), params)

    assert apart(networks.latents[-1].clone(), theirs) < 1e-4


@pytest.mark.parametrize("strength", [0.6, 1.0])
@pytest.mark.parametrize("steps", [1, 3])
def test_a_rectified_flow_is_what_the_flow_matching_scheduler_makes_of_its_unet(
    bench: Bench, steps: int, strength: float
) -> None:
    """With a shift of 3: the scheduler shifts the levels that it is given."""
    engine, networks = bench.engine("flow")
    params = StyleParams(prompt="ink", strength=strength, steps=steps, guidance_scale=1.0)
    path = bench.models["flow"]
    scheduler = diffusers.FlowMatchEulerDiscreteScheduler.from_pretrained(path / "scheduler")
    scheduler.set_timesteps(sigmas=[strength * (1 - i / steps) for i in range(steps)])
    source, words, unet = its_parts(bench, "flow")

    x = scheduler.scale_noise(source, scheduler.timesteps[:1], drawn(params)[:1])
    with torch.no_grad():
        for timestep in scheduler.timesteps:
            velocity = unet(x, timestep, words).sample
            x = scheduler.step(velocity, timestep, x).prev_sample
    alone(engine, picture(), params)

    assert float(scheduler.timesteps[0]) / 1000 == pytest.approx(3 * strength / (1 + 2 * strength))
    assert apart(networks.latents[-1].clone(), x) < 1e-4


@pytest.mark.parametrize("strength", [0.6, 1.0])
@pytest.mark.parametrize("steps", [1, 3])
def test_instaflow_is_the_ordinary_differential_equation_of_its_paper(
    bench: Bench, steps: int, strength: float
) -> None:
    """Z(t + 1/N) = Z(t) + v(Z(t), t) / N from noise at t = 0 to the picture at t = 1, where the
    UNet is asked at 1000 (1 - t); Liu et al. 2023, arXiv:2309.06380, section 2. Image to image
    begins on the line between noise and picture.
    """
    engine, networks = bench.engine("instaflow")
    params = StyleParams(prompt="ink", strength=strength, steps=steps, guidance_scale=1.0)
    source, words, unet = its_parts(bench, "instaflow")

    t, apart_t = 1 - strength, strength / steps
    z = t * source + (1 - t) * drawn(params)[:1]
    with torch.no_grad():
        for _ in range(steps):
            z = z + apart_t * unet(z, 1000 * (1 - t), words).sample
            t += apart_t
    alone(engine, picture(), params)

    assert t == pytest.approx(1)
    assert apart(networks.latents[-1].clone(), z) < 1e-4


def its_parts(bench: Bench, family: str) -> tuple[Tensor, Tensor, Any]:
    """Give the picture's latent, the words of "ink", and diffusers' own UNet."""
    pipeline = diffusers.StableDiffusionImg2ImgPipeline.from_pretrained(
        bench.models[family], scheduler=diffusers.LCMScheduler(steps_offset=1, clip_sample=False)
    )
    with torch.no_grad():
        source = pipeline.vae.encode(pixels() * 2 - 1).latent_dist.mode()
        words, _ = pipeline.encode_prompt("ink", "cpu", 1, False)
    return source * pipeline.vae.config.scaling_factor, words, pipeline.unet
