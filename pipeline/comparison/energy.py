"""Joules of a stretch of work, where the machine tells them.

A GPU's watts are told by `nvidia-smi`, a processor's joules by Linux from its own counters (RAPL),
which most systems let only root read. Elsewhere there is no meter, and processor time has to do.
"""

import subprocess  # nosec B404 - one program, no shell
import time
from contextlib import suppress
from pathlib import Path
from typing import Protocol, runtime_checkable

import torch

from pipeline.comparison import power

NOTHING = "nothing tells energy here: processor time has to do"
_POWERCAP = Path("/sys/class/powercap")


@runtime_checkable  # so that the shape checks of the tests can name it
class Meter(Protocol):
    """Tells what was drawn between `start` and `stop`, everything else on the chip included."""

    name: str

    def start(self) -> None:
        """Begin."""

    def stop(self) -> float | None:
        """End; give joules, None where nothing was told."""


def find_meter(device: torch.device, powercap: Path = _POWERCAP) -> Meter | None:
    """Give what tells the energy of a device; None where nothing does."""
    if device.type == "cuda":
        command = power.meter(device)
        return NvidiaSmi(command) if command else None
    zones = _packages(powercap)
    return Rapl(zones) if zones else None


def _packages(powercap: Path) -> list[Path]:
    """List the zones of whole processors that may be read."""
    found = []
    for zone in sorted(powercap.glob("intel-rapl:*")):  # AMD's, too; a second colon is a part
        with suppress(OSError, ValueError):
            if (zone / "name").read_text().startswith("package"):
                _microjoules(zone)
                found.append(zone)
    return found


def _microjoules(zone: Path, file: str = "energy_uj") -> int:
    return int((zone / file).read_text())


class Rapl:
    """The counters of all processors of this machine."""

    name = "RAPL"

    def __init__(self, zones: list[Path]) -> None:
        self._zones = zones
        self._before: list[int] = []

    def start(self) -> None:
        """See Meter."""
        self._before = [_microjoules(zone) for zone in self._zones]

    def stop(self) -> float | None:
        """See Meter. A counter that ran over its end begins anew, after minutes at least."""
        total = 0
        for zone, before in zip(self._zones, self._before, strict=True):
            ran = _microjoules(zone) - before
            total += ran if ran >= 0 else ran + _microjoules(zone, "max_energy_range_uj")
        return total / 1e6


class NvidiaSmi:
    """The watts that a GPU settles at, times the seconds. Wants two seconds at least."""

    name = "nvidia-smi"

    def __init__(self, command: list[str]) -> None:
        self._command = command
        self._asked: subprocess.Popen[str] | None = None
        self._began = 0.0

    def start(self) -> None:
        """See Meter."""
        self._asked = subprocess.Popen(self._command, stdout=subprocess.PIPE, text=True)  # nosec B603
        self._began = time.perf_counter()

    def stop(self) -> float | None:
        """See Meter."""
        assert self._asked is not None
        seconds = time.perf_counter() - self._began
        with self._asked as asked:
            asked.kill()
            said, _ = asked.communicate(timeout=10)
        watts = power.settled(said)
        return None if watts is None else watts * seconds
