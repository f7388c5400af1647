"""A client whose process is killed: its work stops with its pictures, its place is free soon."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.e2e.serving import LIGHT, ROOT, serving
from tests.streams.waiting import until

pytestmark = pytest.mark.slow
_BUSY = 2  # seconds that a machine with other work may take beyond what is promised


def test_the_place_of_a_killed_client_is_free_within_ten_seconds(tmp_path: Path) -> None:
    with serving(tmp_path, module=LIGHT) as server:
        command = [sys.executable, "-m", "tests.reliability.far_side", server.url, "60"]
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as client:
            assert client.stdout is not None
            assert client.stdout.readline().strip() == "live"
            client.kill()
        killed = time.monotonic()
        until(lambda: not server.api("GET", "/api/sessions")["sessions"])
        assert time.monotonic() - killed <= 10 + _BUSY
