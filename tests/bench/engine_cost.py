"""What an engine in a process of its own costs: two servers, one session at a time, in turn.

python -m tests.bench.engine_cost [--seconds 15] [--rounds 3]: JSON. Processor time a frame says
more than speed on a machine that does other work too.
"""

import argparse
import asyncio
import json
import statistics
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psutil

from streams.aiortc_patches import TransportSettings, install
from tests.bench.client import Client, Pictures
from tests.bench.scenarios import webcam
from tests.e2e.serving import TOKEN, Server, free_port
from tests.reliability.sampling import tree

MODES = {"in the server's process": "--no-engine-process", "in its own": "--engine-process"}
_START = 600.0  # seconds that a start may take


def cpu_seconds(server: Server) -> float:
    """Add up the processor time of a server's processes."""
    return sum(sum(p.cpu_times()[:2]) for p in tree(psutil.Process(server.pid)))


async def visit(server: Server, seconds: float) -> dict[str, float]:
    """Measure one styled session, 256 × 256, 30 fps in."""
    clip, client = webcam(256, 60), Client(server.url, TOKEN)
    track = Pictures(lambda number: clip[number % len(clip)])
    await client.connect(track, {"prompt": "a pencil drawing"}, lambda *_: None)
    await asyncio.wait_for(client.received.wait(), 60)
    await asyncio.sleep(3)
    before, spent = (await client.state())["stats"]["frames_out"], cpu_seconds(server)
    await asyncio.sleep(seconds)
    stats = (await client.state())["stats"]
    spent = cpu_seconds(server) - spent
    await client.close()
    frames = max(1, stats["frames_out"] - before)
    return {
        "fps_out": round(frames / seconds, 1),
        "age_p50_ms": stats["age_ms"]["p50"],
        "age_p95_ms": stats["age_ms"]["p95"],
        "cpu_ms_per_frame": round(1000 * spent / frames, 1),
    }


def measure(seconds: float, rounds: int) -> dict[str, Any]:
    """Run both modes in turn; give each round and the medians."""
    seen: dict[str, list[dict[str, float]]] = {mode: [] for mode in MODES}
    with ExitStack() as stack:
        state = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        servers = {}
        for mode, option in MODES.items():
            servers[mode] = Server(free_port(), option, state=state)
            stack.callback(servers[mode].stop)
            servers[mode].wait_ready(_START)
        for _ in range(rounds):
            for mode, server in servers.items():
                seen[mode].append(asyncio.run(visit(server, seconds)))
        memory = {
            mode: [round(p.memory_full_info().uss / 1e6) for p in tree(psutil.Process(server.pid))]
            for mode, server in servers.items()
        }
    medians = {
        mode: {key: statistics.median(r[key] or 0 for r in rounds) for key in rounds[0]}
        for mode, rounds in seen.items()
    }
    return {"medians": medians, "rounds": seen, "own_memory_mb_by_process": memory}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=15)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    install(TransportSettings())
    print(json.dumps(measure(given.seconds, given.rounds), indent=2))
