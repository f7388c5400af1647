"""`restyle bench engine --json` on a CPU, from the command to what it prints."""

import json
from pathlib import Path

import pytest

from server.__main__ import main


@pytest.mark.long
@pytest.mark.timeout(600)
def test_the_command_prints_every_figure_and_the_promises_on_the_simulated_device_hold(
    models: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    size = ["--width", "64", "--height", "64"]
    given = ["--model", str(models["embedded"]), "--backend", "eager", "--device", "cpu", *size]

    assert main(["bench", "engine", "--json", *given]) == 0

    found = json.loads(capsys.readouterr().out)
    assert found["machine"]["backend"] == "eager"
    assert found["size"] == "64x64"
    for figures in found["steps"].values():
        assert figures["fps"] > 0
        assert figures["ms"].keys() == {"encode", "unet", "decode"}
    assert found["steps"].keys() == {"1", "2", "4"}
    assert found["guidance"].keys() == {"none", "self", "initialize", "full"}
    assert found["sessions"].keys() == {"1", "2", "4", "8"}
    assert found["overhead_ms"] > 0
    assert 0.5 < found["similarity"]["skipped"] < 0.95  # eleven of twelve at most
    assert found["similarity"]["time_saved"] > 0
    crowd = found["simulated"]["twelve_people_80_percent"]
    assert crowd["fps_each"] > 29
    assert crowd["latest_ms_after_deadline"] < 1000 / 30
    assert crowd["unfairness"] <= 0.05
    assert found["simulated"]["memory_growth_mb_over_10000_ticks"] < 4
