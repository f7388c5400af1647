"""The script that times steadiness on a device, at a size that says nothing of speed."""

import pytest

from tests.bench.steady_engine import BANKS, STYLES, measure


@pytest.mark.long
def test_every_arm_and_part_has_its_figures() -> None:
    facts = measure("cpu", "mini", 64, 14, "eager")

    assert set(facts["arms"]) == {*STYLES, *BANKS}
    for arm in facts["arms"].values():
        assert 0 < arm["unet_ms"] < arm["ms"] <= arm["p95_ms"]
    assert all(facts["arms"][name]["unet_over_plain"] > 0.3 for name in BANKS)
    assert all(0 < value < 1000 for value in facts["parts"].values())
    assert set(facts["parts"]) == {"noise carried along, ms", "filter on latents, ms"}
