"""The emulated link itself, and one short call over it. `make network` has every case."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.reliability.link import Impairment, missing, network
from tests.reliability.network import run

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(missing() is not None, reason=str(missing())),
]
_COUNT = """
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("10.77.0.1", 9999)); s.settimeout(3); print("ready", flush=True)
got = []
try:
    while len(got) < 2001:
        got.append(int.from_bytes(s.recv(100), "big")); s.settimeout(1)
except TimeoutError: pass
print(len(got), sum(a > b for a, b in zip(got, got[1:])))
"""
_SEND = """
import socket, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for n in range(2001): s.sendto(n.to_bytes(2, "big"), ("10.77.0.1", 9999)); time.sleep(0.0003)
"""


@pytest.mark.parametrize(
    ("link", "least", "most", "reorders"),
    [
        (Impairment(loss=0.2), 1520, 1680, False),  # three standard errors are 54
        (Impairment(delay=0.02, jitter=0.005, reorders=True), 1981, 2001, True),
        (Impairment(down=True), 0, 0, False),
    ],
)
def test_the_dose_is_what_was_asked_for(
    link: Impairment, least: int, most: int, reorders: bool
) -> None:
    with network() as net:
        net.link.impair(link)
        inside = ["ip", "netns", "exec"]
        with subprocess.Popen(
            [*inside, net.server, sys.executable, "-c", _COUNT], stdout=subprocess.PIPE, text=True
        ) as counting:
            assert counting.stdout is not None
            counting.stdout.readline()
            subprocess.run([*inside, net.client, sys.executable, "-c", _SEND], check=True)
            came, backwards = (int(word) for word in counting.stdout.readline().split())
    assert least <= came <= most
    assert (backwards > 100) == reorders
    assert net.server not in subprocess.check_output(["ip", "netns", "list"], text=True)


@pytest.mark.long
def test_a_client_that_moves_to_another_address_gets_its_session_back(tmp_path: Path) -> None:
    figures, kept = run(5, tmp_path, ["another address"])
    seen = figures["another address"]
    assert kept["another address: it is the same session"], seen
    assert kept["another address: with its style"], seen
    assert seen["connections"] >= 2, seen
    assert seen["back_s"] is not None, seen
    assert seen["back_s"] < 20, seen  # 10 s are promised; this machine is shared
