import pytest
import torch

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
