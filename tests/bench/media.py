"""What media processes take off the server's own: each one's processor time and lateness, as JSON.

python -m tests.bench.media [--seconds 12] [--sessions 4] [--processes 0,1,2]

Every session sends 512 × 512 at 30 fps and gets it back untouched; the peers are on the same cores.
"""

import argparse
import asyncio
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import av
import numpy as np
import psutil

from server.latency import quantiles
from streams.aiortc_patches import TransportSettings, install
from tests.bench.__main__ import machine
from tests.bench.client import Picture
from tests.bench.scenarios import Echo, webcam
from tests.e2e.serving import LIGHT, Server, media_processes, serving


async def measure(server: Server, sessions: int, seconds: float) -> dict[str, Any]:
    """Run some sessions; give what they got and what it cost."""
    own = psutil.Process(server.pid)
    pictures = webcam(512, 60)
    echoes = [Watched(server, pictures) for _ in range(sessions)]
    for echo in echoes:
        await echo.client.connect(echo.track, {"bypass": True}, echo.came_back)
    await asyncio.sleep(3)
    children = media_processes(server)
    before = [_cpu(each) for each in (own, *children)]
    for echo in echoes:
        echo.round_trips.clear()
    await asyncio.sleep(seconds)
    after = [_cpu(each) for each in (own, *children)]
    spent = [round(100 * (b - a) / seconds, 1) for a, b in zip(before, after, strict=True)]
    states = [(await echo.client.state())["stats"] for echo in echoes]
    info = server.api("GET", "/api/info")
    killed = await _kill(children[0], server, echoes) if len(children) > 1 else {}
    for echo in echoes:
        await echo.client.close()
    return killed | {
        "server_cpu_percent": spent[0],
        "media_cpu_percent": spent[1:],
        "fps_in_least": min(s["fps_in"] for s in states),
        "fps_out_least": min(s["fps_out"] for s in states),
        "round_trip_ms": quantiles([took for echo in echoes for took in echo.round_trips]),
        "loop_lag_p99_ms": info["loop_lag_p99_ms"],
    }


class Watched(Echo):
    """A session that notes when each picture came."""

    def __init__(self, server: Server, pictures: list[Picture]) -> None:
        super().__init__(server, pictures)
        self.arrivals: list[float] = []

    def came_back(self, frame: av.VideoFrame, at: float) -> None:
        """Note it."""
        self.arrivals.append(at)
        super().came_back(frame, at)


async def _kill(process: psutil.Process, server: Server, echoes: list[Watched]) -> dict[str, Any]:
    """Kill a media process; say what its own sessions and the others saw, and when it is back."""
    for echo in echoes:
        echo.arrivals = echo.arrivals[-1:]
    process.kill()
    killed = time.monotonic()
    while await asyncio.to_thread(server.metric, "restyle_media_processes ") > 1:  # noqa: ASYNC110 - another process
        await asyncio.sleep(0.02)
    while await asyncio.to_thread(server.metric, "restyle_media_processes ") < 2:  # noqa: ASYNC110
        await asyncio.sleep(0.02)
    back = time.monotonic() - killed
    await asyncio.sleep(3)
    others = [e for e in echoes if e.arrivals[-1] > time.monotonic() - 1]
    gaps = [max(np.diff(echo.arrivals)) for echo in others]
    return {
        "killed": {
            "sessions_lost": len(echoes) - len(others),
            "longest_gap_of_others_s": round(float(max(gaps)), 3) if gaps else None,
            "process_back_s": round(back, 2),
        }
    }


def _cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=12)
    parser.add_argument("--sessions", type=int, default=4)
    parser.add_argument("--processes", default="0,1,2")
    given = parser.parse_args()
    install(TransportSettings())
    figures: dict[str, Any] = {"machine": machine(), "sessions": given.sessions}
    for count in given.processes.split(","):
        options = ("--sessions", str(given.sessions), "--media-processes", count)
        with (
            tempfile.TemporaryDirectory() as state,
            serving(Path(state), *options, module=LIGHT) as server,
        ):
            figures[f"media_processes_{count}"] = asyncio.run(
                measure(server, given.sessions, given.seconds)
            )
    print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
