"""What the ablation says of its figures."""

from pathlib import Path

import pytest

from pipeline.config import EngineConfig
from pipeline.engine import build_engine
from server.consistency import beside
from tests.bench.consistency import (
    BANKS,
    BASELINE,
    CLIPS,
    DEFAULT,
    EVERYTHING,
    FROZEN,
    PARTS,
    InputMotion,
    add_ratios,
    change,
    guard_words,
    judge,
    motion_words,
    read,
    restyle,
    style_words,
    table,
    verdict,
    words,
)  # fmt: skip

SAME = {
    "sharpness": 4e-4, "warp_error_1": 2.0, "warp_error_1_input": 1.0, "flicker": 0.5,
    "warp_error_1_found": 2.0,
    "flicker_still": 0.1, "motion_ratio": 0.5, "moving_ratio": 0.8, "sharpness_ratio": 1.0,
    "unet_ms": 30.0, "repeated_frames": 0.0, "style": 2.0, "style_ratio": 1.0,
}  # fmt: skip


def facts(moving: float = 0.1, **everything: float) -> dict[str, object]:
    parts = {name: dict(SAME) for name in (*PARTS, *BANKS, FROZEN)}
    parts[EVERYTHING] |= everything
    return {
        "deflicker": 1.0, "moving": {"calm": moving, "lively": moving},
        "clips": {"calm": parts, "lively": parts},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ((1.0, -2.9), "nil"), ((-55.0, 1.0), "steadier"), ((2.0, 111.0), "less steady"),
        ((-10.0, 10.0), "mixed"),
    ],
)  # fmt: skip
def test_a_verdict_follows_from_both_clips(changes: tuple[float, ...], word: str) -> None:
    assert verdict(changes) == word


def test_the_words_have_the_figures_of_the_table_beside_them() -> None:
    said = " ".join(words(facts(warp_error_1=1.0, sharpness_ratio=0.897)).split())

    assert "**All: steadier** (-75 and -75 %)" in said
    assert "sharpness ratios 0.897 and 0.897" in said
    assert "**Warped noise: nil** (+0 and +0 %)" in said


def test_a_part_that_steadies_by_blur_is_named_though_others_are_not() -> None:
    soft = guard_words(facts(sharpness=3.588e-4))

    assert "all on the lively clip (softer than the baseline: sharpness 0.897" in soft
    assert guard_words(facts()).endswith("left by: none.")


def test_motion_of_a_clip_in_which_nothing_moves_is_not_judged() -> None:
    frozen = facts(moving=0.01, moving_ratio=0.0)

    assert "none" in guard_words(frozen)
    assert "nothing to say of" in motion_words(frozen)
    assert "nothing moves" in table({BASELINE: SAME}, moves=False)
    assert "| 0.800 |" in table({BASELINE: SAME})


def test_a_part_whose_style_is_another_is_named_either_way() -> None:
    for ratio in (0.965, 1.035):
        said = guard_words(facts(style_ratio=ratio))
        assert f"all on the calm clip (style ratio {ratio:.3f}, not within 0.03 of 1)" in said
    assert guard_words(facts(style_ratio=1.025)).endswith("left by: none.")
    assert "0.980 and 0.980 with all" in " ".join(style_words(facts(style_ratio=0.98)).split())


def test_the_style_ratio_is_that_of_distances_from_the_teacher() -> None:
    parts = {BASELINE: dict(SAME), EVERYTHING: SAME | {"style": 2.05}}
    add_ratios(parts)

    assert parts[EVERYTHING]["style_ratio"] == 1.025
    assert "| style ratio |" in table(parts)
    assert "| 1.025 |" in table(parts)


def test_without_weights_the_column_of_the_style_is_empty_and_says_so() -> None:
    unseen = {name: value for name, value in SAME.items() if not name.startswith("style")}
    parts = {BASELINE: dict(unseen), EVERYTHING: dict(unseen)}
    add_ratios(parts)

    heading, _, *rows = table(parts).splitlines()
    column = heading.split("|").index(" style ratio (not measured: no weights) ")
    assert {row.split("|")[column].strip() for row in rows} == {""}
    clips = {"calm": parts, "lively": parts}
    assert "not measured" in style_words({"clips": clips})
    assert "none" in guard_words({"clips": clips, "moving": dict.fromkeys(clips, 0.1)})


@pytest.mark.long
def test_the_default_takes_a_fifth_off_the_warping_error_and_no_guard_is_left(
    tmp_path: Path,
) -> None:
    """T3.8, with the shipped model: bought by neither blur nor freezing."""
    engine = build_engine(EngineConfig(cache=tmp_path), lambda step: None)
    sources, motion = read(20, CLIPS["lively"], engine.config.width), InputMotion()
    base, steadied = (
        judge(sources, restyle(engine, sources, PARTS[name])[0], motion)
        for name in (BASELINE, DEFAULT)
    )

    assert change(steadied, base, "warp_error_1") <= -20
    assert steadied["flicker"] < base["flicker"]
    assert beside(steadied, base)["flags"] == []
