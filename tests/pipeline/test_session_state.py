import pytest
import torch

from pipeline.params import StyleParams
from pipeline.session_state import SessionState, Travel

SHAPE = (4, 32, 32)


def state() -> SessionState:
    return SessionState(SHAPE, torch.device("cpu"))


def test_a_blend_of_seeds_is_white_all_the_way_and_ends_at_the_other_seed() -> None:
    session = state()
    seeds = {"seed": 5, "blend_seed": 9}
    start = session.noise(StyleParams(**seeds))
    middle = session.noise(StyleParams(**seeds, seed_blend=0.5))
    end = session.noise(StyleParams(**seeds, seed_blend=1.0))

    assert float(middle.var()) == pytest.approx(1, abs=0.02)
    torch.testing.assert_close(end, state().noise(StyleParams(seed=9)), atol=1e-6, rtol=0)
    for other in (start, end):
        likeness = float((middle * other).mean())
        assert likeness == pytest.approx(2**-0.5, abs=0.02)


def test_a_blend_follows_its_seeds() -> None:
    session = state()
    there = session.noise(StyleParams(seed=1, blend_seed=2, seed_blend=0.3))
    back = session.noise(StyleParams(seed=2, blend_seed=1, seed_blend=0.3))
    again = session.noise(StyleParams(seed=1, blend_seed=2, seed_blend=0.3))

    assert not torch.equal(there, back)
    assert torch.equal(there, again)


def test_only_the_seeds_in_use_are_kept() -> None:
    session = state()
    for seed in range(50):
        session.noise(StyleParams(seed=seed, blend_seed=seed + 1, seed_blend=0.5))

    assert len(session._drawn) <= 3


def at(value: float) -> torch.Tensor:
    return torch.full((1, 2, 3), value)


def test_a_prompt_travels_at_an_even_pace_and_arrives() -> None:
    travel = Travel()
    ink, oil = at(0.0), at(1.0)

    assert travel.towards(ink, 2.0, 10.0) is ink  # there is nothing to come from
    values = [float(travel.towards(oil, 2.0, 10.0 + t)[0, 0, 0]) for t in (0, 0.5, 1, 1.5)]
    assert values == pytest.approx([0, 0.25, 0.5, 0.75])
    assert travel.towards(oil, 2.0, 12.0) is oil
    assert not travel.under_way(12.0)


def test_a_new_goal_starts_from_where_it_is() -> None:
    travel = Travel()
    ink, oil, back = at(0.0), at(1.0), at(0.0)
    travel.towards(ink, 2.0, 0.0)
    travel.towards(oil, 2.0, 0.0)

    assert float(travel.towards(back, 2.0, 1.0)[0, 0, 0]) == pytest.approx(0.5)
    assert float(travel.towards(back, 2.0, 2.0)[0, 0, 0]) == pytest.approx(0.25)


def test_without_a_time_a_prompt_holds_at_once() -> None:
    travel = Travel()
    ink, oil = at(0.0), at(1.0)
    travel.towards(ink, 0.0, 0.0)

    assert travel.towards(oil, 0.0, 1.0) is oil
