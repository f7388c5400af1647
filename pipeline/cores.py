"""How many cores this process may use: not always as many as the machine has."""

import math
import os
from pathlib import Path

_SHARE = Path("/sys/fs/cgroup/cpu.max")  # of a container's time: "200000 100000", or "max …"


def available_cores(share: Path = _SHARE) -> int:
    """Count the cores of this process's affinity, at most what its container gives time for.

    More threads than that wait for each other: a container with two of 64 cores' time would run
    63 threads and stand still most of each period (Linux, control groups 2, `cpu.max`).
    """
    try:
        cores = len(os.sched_getaffinity(0))
    except AttributeError:  # not on macOS
        cores = os.cpu_count() or 1
    try:
        quota, period = share.read_text().split()
        return max(1, min(cores, math.ceil(int(quota) / int(period))))
    except (OSError, ValueError):  # no container, or no limit
        return cores
