"""`restyle bench latency` against a running server."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.browser import find_chromium
from tests.e2e.serving import LIGHT, ROOT, TOKEN, serving

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.long]


@pytest.mark.skipif(find_chromium() is None, reason="no Chromium here")
def test_the_parts_of_the_way_make_up_the_whole(tmp_path: Path) -> None:
    with serving(tmp_path, module=LIGHT) as server:
        given = ["--json", "--seconds", "2", "--url", server.url, "--token", TOKEN]
        ended = subprocess.run(
            [sys.executable, "-m", "server", "bench", "latency", *given],
            cwd=ROOT, capture_output=True, text=True, timeout=90,
        )  # fmt: skip
        left = server.api("GET", "/api/sessions")["sessions"]
    assert ended.returncode == 0, ended.stderr
    told = json.loads(ended.stdout)
    assert (told["model"], left) == ("fake", [])
    figures = told["bypass"]  # this engine inverts: the numbers of the others cannot be read
    whole, there, shown = (
        figures[name] for name in ("glass_to_glass_ms", "drawn_to_back_ms", "back_to_shown_ms")
    )
    assert figures["fps_shown"] > 5
    assert 0 < there["p50"] < whole["p50"] <= whole["p95"]
    assert whole["p50"] == pytest.approx(there["p50"] + shown["p50"], rel=0.5)
    assert there["browser_encode"] > 0
    assert shown["browser_decode"] > 0
    assert figures["server_ms"]["p50"] < there["p50"]
