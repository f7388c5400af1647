import diffusers
import pytest
import torch

from pipeline.guidance import choose, guide
from pipeline.params import StyleParams
from pipeline.schedule import Schedule

SD = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}


def apart(one: torch.Tensor, other: torch.Tensor) -> float:
    return float((one - other).norm() / other.norm())


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction", "sample"])
@pytest.mark.parametrize("strength", [1.0, 0.72, 0.4, 0.02])
def test_guidance_of_clean_latents_is_guidance_of_noise(kind: str, strength: float) -> None:
    schedule = Schedule(SD | {"prediction_type": kind})
    (step,) = schedule.steps(strength, 1)
    generator = torch.Generator().manual_seed(4)
    z, noise, out = (torch.randn(1, 4, 8, 8, generator=generator) for _ in range(3))
    x, scale = step.a * z + step.b * noise, 2.3
    clean = schedule.clean(out, x, step)

    ours = guide(clean, z, scale)

    stock, eps = (x - step.a * z) / step.b, (x - step.a * clean) / step.b
    eps = stock + scale * (eps - stock)
    assert apart(ours, (x - step.b * eps) / step.a) < 1e-4


def test_a_scale_of_1_is_no_guidance() -> None:
    """T1.4."""
    clean, away = torch.randn(2, 1, 4, 8, 8, generator=torch.Generator().manual_seed(2))

    assert apart(guide(clean, away, 1.0), clean) < 1e-6


@pytest.mark.parametrize(
    ("asked", "scale", "negative", "kind"),
    [
        ("auto", 1.5, "", "self"), ("auto", 1.5, "fog", "initialize"), ("auto", 1.0, "fog", "none"),
        ("full", 1.5, "fog", "full"), ("full", 1.5, "", "full"), ("full", 1.0, "fog", "none"),
        ("self", 1.5, "fog", "self"), ("initialize", 1.5, "", "initialize"),
        ("none", 1.5, "fog", "none"),
    ],
)  # fmt: skip
def test_the_type_that_is_asked_for_is_taken_while_there_is_guidance(
    asked: str, scale: float, negative: str, kind: str
) -> None:
    params = StyleParams(guidance=asked, guidance_scale=scale, negative_prompt=negative)
    assert choose(params) == kind


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction", "sample"])
def test_four_steps_equal_those_of_the_latent_consistency_scheduler(kind: str) -> None:
    schedule = Schedule(SD | {"prediction_type": kind})
    steps = schedule.steps(0.4, 4)
    theirs = diffusers.LCMScheduler(
        beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012, prediction_type=kind,
        clip_sample=False,
    )  # fmt: skip
    theirs.set_timesteps(
        timesteps=[int(step.timestep) for step in steps], original_inference_steps=50
    )
    x = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(1))

    for k, step in enumerate(steps):
        out = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(10 + k))
        result = theirs.step(
            out, int(step.timestep), x, generator=torch.Generator().manual_seed(20 + k)
        )

        clean = schedule.clean(out, x, step)
        assert apart(clean, result.denoised) < 1e-4

        if k < 3:
            noise = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(20 + k))
            x = steps[k + 1].a * clean + steps[k + 1].b * noise
            assert apart(x, result.prev_sample) < 1e-4


@pytest.mark.parametrize(
    ("index", "timestep", "a", "b"),
    [
        (0, 999, 0.0683, 0.9977), (16, 679, 0.3098, 0.9508), (25, 499, 0.5269, 0.8499),
        (30, 399, 0.6528, 0.7576), (32, 359, 0.7011, 0.7131), (35, 299, 0.7695, 0.6386),
        (40, 199, 0.8690, 0.4947), (45, 99, 0.9463, 0.3233), (49, 19, 0.9911, 0.1333),
    ],
)  # fmt: skip
def test_the_whole_table_of_noise_levels(index: int, timestep: int, a: float, b: float) -> None:
    (step,) = Schedule(SD).steps((50 - index) / 50, 1)

    assert (step.timestep, round(step.a, 4), round(step.b, 4)) == (timestep, a, b)


def test_steps_fall_and_never_leave_the_schedule() -> None:
    schedule = Schedule(SD)
    for percent in range(101):
        for count in range(1, 9):
            levels = [step.timestep for step in schedule.steps(percent / 100, count)]
            assert levels == sorted(set(levels), reverse=True)
            assert len(levels) <= count
            assert all(19 <= level <= 999 for level in levels)


def test_betas_that_are_not_named_are_linear_as_in_diffusers() -> None:
    (step,) = Schedule({}).steps(0.5, 1)

    abar = diffusers.DDPMScheduler().alphas_cumprod[499]
    assert step.a == pytest.approx(float(abar.sqrt()), abs=1e-5)
