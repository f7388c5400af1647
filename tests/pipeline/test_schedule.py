import pytest
import torch
from diffusers import DDPMScheduler

from pipeline.errors import ModelError
from pipeline.guidance import choose, guide, needs_negative_row
from pipeline.params import StyleParams
from pipeline.schedule import Schedule

SD = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}


@pytest.mark.parametrize(
    ("strength", "timestep", "a", "b"),
    [(1.0, 999, 0.0683, 0.9977), (0.36, 359, 0.7011, 0.7131), (0.02, 19, 0.9911, 0.1333)],
)
def test_noise_levels_are_those_of_stable_diffusion(
    strength: float, timestep: int, a: float, b: float
) -> None:
    (step,) = Schedule(SD).steps(strength, 1)
    assert step.timestep == timestep
    assert (round(step.a, 4), round(step.b, 4)) == (a, b)


def test_a_latent_consistency_step_is_the_plain_prediction_at_every_level() -> None:
    """T1.3: c_skip and c_out by their formulas, sigma_data .5 and timestep_scaling 10."""
    schedule = Schedule(SD)
    generator = torch.Generator().manual_seed(0)
    x, output = (torch.randn(1, 4, 8, 8, generator=generator) for _ in range(2))
    for step in schedule.steps(1.0, 50):
        s = 10 * step.timestep
        c_skip, c_out = 0.25 / (s**2 + 0.25), s / (s**2 + 0.25) ** 0.5
        assert c_skip <= 7e-6
        assert 1 - c_out <= 4e-6
        clean = schedule.clean(output, x, step)
        consistent = c_out * (x - step.b * output) / step.a + c_skip * x
        assert float((clean - consistent).abs().max()) < 1e-4


@pytest.mark.parametrize(
    ("timestep", "a", "b"),
    [(999, 0.0683, 0.9977), (749, 0.2380, 0.9713), (499, 0.5269, 0.8499), (249, 0.8218, 0.5697)],
)
def test_the_levels_that_sd_turbo_was_trained_at(timestep: int, a: float, b: float) -> None:
    abar = Schedule(SD)._abar[timestep]

    assert (round(abar**0.5, 4), round((1 - abar) ** 0.5, 4)) == (a, b)


def test_strength_and_steps_follow_the_video_rule() -> None:
    steps = Schedule(SD).steps(0.4, 4)
    assert [step.timestep for step in steps] == [399, 299, 199, 99]


def test_a_low_strength_has_room_for_few_steps_and_none_for_nothing() -> None:
    assert len(Schedule(SD).steps(0.04, 8)) == 2
    assert Schedule(SD).steps(0.0, 4) == ()


@pytest.mark.parametrize("wrong", [{"prediction_type": "flow"}, {"beta_schedule": "cosine"}])
def test_an_unknown_schedule_is_refused_by_name(wrong: dict[str, str]) -> None:
    with pytest.raises(ModelError, match=next(iter(wrong.values()))):
        Schedule(SD | wrong)


def test_a_schedule_without_signal_at_its_end_is_that_of_diffusers() -> None:
    config = SD | {"rescale_betas_zero_snr": True, "prediction_type": "v_prediction"}
    theirs = DDPMScheduler(**config).alphas_cumprod.double()
    steps = Schedule(config).steps(1.0, 50)

    assert (steps[0].a, steps[0].b) == (0.0, 1.0)  # pure noise
    for step in steps:
        assert step.a**2 == pytest.approx(float(theirs[int(step.timestep)]), abs=1e-5)
    plain = Schedule(SD).steps(0.02, 1)[0]
    assert steps[-1].a == pytest.approx(plain.a, abs=0.001)  # the other end stays


def test_pure_noise_that_a_network_must_name_is_refused() -> None:
    with pytest.raises(ModelError, match="rescale_betas_zero_snr with prediction_type 'epsilon'"):
        Schedule(SD | {"rescale_betas_zero_snr": True})


def test_betas_that_a_model_was_trained_with_are_taken() -> None:
    betas = torch.linspace(0.001, 0.02, 1000).tolist()
    found = Schedule(SD | {"trained_betas": betas}).steps(0.5, 2)
    plain = {"beta_schedule": "linear", "beta_start": 0.001, "beta_end": 0.02}

    for one, other in zip(found, Schedule(plain).steps(0.5, 2), strict=True):
        assert one.a == pytest.approx(other.a, rel=1e-4)


@pytest.mark.parametrize("wrong", ["many", [0.1, "b"], [[0.1] * 60], [0.1], [2.0] * 60, [None]])
def test_betas_that_are_none_are_refused(wrong: object) -> None:
    with pytest.raises(ModelError, match="trained_betas"):
        Schedule(SD | {"trained_betas": wrong})


def test_residual_guidance_equals_its_recursion() -> None:
    """Four steps in double precision: the paper's stock noise against the clean latent."""
    generator = torch.Generator().manual_seed(0)
    schedule = Schedule(SD)
    steps = schedule.steps(0.4, 4)
    shape = (1, 4, 8, 8)
    z, *noise = (torch.randn(shape, generator=generator, dtype=torch.float64) for _ in range(5))
    x = steps[0].a * z + steps[0].b * noise[0]
    stock = noise[0].clone()
    for k, step in enumerate(steps):
        eps = torch.randn(shape, generator=generator, dtype=torch.float64)
        clean = (x - step.b * eps) / step.a
        ours = guide(clean, z, 1.8)
        guided = stock + 1.8 * (eps - stock)
        theirs = (x - step.b * guided) / step.a
        assert float((ours - theirs).norm() / theirs.norm()) < 1e-9
        if k < 3:
            after = steps[k + 1]
            change = (step.b * stock - step.b * guided) / step.a
            stock = noise[k + 1] + after.a / after.b * change
            x = after.a * ours + after.b * noise[k + 1]


def test_the_cheapest_guidance_that_does_what_is_asked() -> None:
    assert choose(StyleParams(guidance_scale=1.0, negative_prompt="x")) == "none"
    assert choose(StyleParams(guidance_scale=2.0)) == "self"
    assert choose(StyleParams(guidance_scale=2.0, negative_prompt="x")) == "initialize"
    assert [needs_negative_row("initialize", k) for k in range(3)] == [True, False, False]
    assert all(needs_negative_row("full", k) for k in range(3))
