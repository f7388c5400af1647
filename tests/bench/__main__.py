"""`make bench`: the figures of README.md, measured on this machine, as JSON.

python -m tests.bench [--only styled,bypass,…] [--seconds 15] [--to build/bench.json]
"""

import argparse
import asyncio
import inspect
import json
import platform
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from streams.aiortc_patches import TransportSettings, install
from tests.bench import scenarios
from tests.bench.glass import glass
from tests.e2e.serving import Server, serving

Scenario = Callable[[Server, float], Awaitable[dict[str, Any]]]
SCENARIOS: dict[str, Scenario] = {
    "styled": scenarios.styled,
    "prompt": scenarios.prompt,
    "bypass": scenarios.bypass,
    "sessions": scenarios.sessions_on_one_core,
    "churn": scenarios.churn,
    "browser": scenarios.browser,
    "glass": glass,
}


def machine() -> dict[str, Any]:
    """Say what this was measured on."""
    model = platform.processor()
    for line in Path("/proc/cpuinfo").read_text().splitlines() if sys.platform == "linux" else ():
        if line.startswith("model name"):
            model = line.split(": ")[1]
            break
    return {"cpu": model, "cores": psutil.cpu_count(), "python": platform.python_version()}


@contextmanager
def started() -> Any:
    """Start a server that knows its model already, and time that."""
    with tempfile.TemporaryDirectory() as state:
        with serving(Path(state)):
            pass
        begin = time.monotonic()
        with serving(Path(state), "--sessions", "8") as server:
            yield server, time.monotonic() - begin


async def measure(server: Server, names: list[str], seconds: float) -> dict[str, Any]:
    """Run the scenarios one after another."""
    figures = {}
    for name in names:
        print(f"{name} …", file=sys.stderr)
        figures[name] = await SCENARIOS[name](server, seconds)
        print(f"{name}: {json.dumps(figures[name])}", file=sys.stderr)
    return figures


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=inspect.getdoc(sys.modules[__name__]))
    parser.add_argument("--only", default=",".join(SCENARIOS))
    parser.add_argument("--seconds", type=float, default=15, help="of each scenario")
    parser.add_argument("--to", type=Path, default=Path("build/bench.json"))
    arguments = parser.parse_args()
    install(TransportSettings())
    figures: dict[str, Any] = {"machine": machine()}
    with started() as (server, seconds):
        figures["second_start_s"] = round(seconds, 2)
        figures |= asyncio.run(measure(server, arguments.only.split(","), arguments.seconds))
    arguments.to.parent.mkdir(parents=True, exist_ok=True)
    arguments.to.write_text(json.dumps(figures, indent=2) + "\n")
    print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
