"""A client whose process is killed: its work stops with its pictures, its place is free soon."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.e2e.serving import LIGHT, ROOT, Server, serving

pytestmark = pytest.mark.slow


def test_the_place_of_a_killed_client_is_free_within_ten_seconds(tmp_path: Path) -> None:
    with serving(tmp_path, module=LIGHT) as server:
        command = [sys.executable, "-m", "tests.reliability.far_side", server.url, "60"]
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as client:
            assert client.stdout is not None
            assert client.stdout.readline().strip() == "live"
            client.kill()
        killed = time.monotonic()
        assert wait_until_empty(server, killed + 20) - killed <= 10


def wait_until_empty(server: Server, until: float) -> float:
    """Give the time at which no session is open any more."""
    while (now := time.monotonic()) < until:
        if not server.api("GET", "/api/sessions")["sessions"]:
            return now
        time.sleep(0.1)  # another process: nothing to wait on but its answer
    raise TimeoutError
