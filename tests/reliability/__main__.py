"""`make soak`, `churn`, `chaos`, `admission`, `network`, `engine`: a verdict and a plot in build/.

python -m tests.reliability KIND [--seconds 60] [--only CASE] [--light]
python -m tests.reliability soak --accelerated [--frames 864000] [--seconds 60]

--light: an engine that only inverts. What leaks is seen as well, also where there is no time for a
model. --accelerated: the same without RTP, the frames of eight hours as fast as they go; then for
so many seconds an engine that is ten times too slow.
"""

import argparse
import asyncio
import inspect
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from streams.aiortc_patches import TransportSettings, install
from tests.bench.__main__ import machine
from tests.e2e.serving import serving
from tests.reliability import engine, link, network
from tests.reliability.accelerated import EIGHT_HOURS, accelerated
from tests.reliability.admission import admission, twice
from tests.reliability.runs import BUILD, RUNS
from tests.reliability.sampling import plot

_OF_A_SERVER = RUNS | {"admission": admission}
_TELLING = "tests.reliability.gc_pauses"  # `restyle serve`, with a line for each pause
_KINDS = (*_OF_A_SERVER, "network", "engine")


def main() -> int:
    """Run one; 1 when a limit was broken."""
    parser = argparse.ArgumentParser(description=inspect.getdoc(sys.modules[__name__]))
    parser.add_argument("run", choices=_KINDS)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--only", action="append", choices=network.CASES, help="of network")
    parser.add_argument("--light", action="store_true", help="of soak, churn, chaos and admission")
    parser.add_argument("--accelerated", action="store_true", help="of soak: without RTP")
    parser.add_argument("--frames", type=int, default=EIGHT_HOURS, help="of that: how many")
    given = parser.parse_args()
    if given.seconds < 10:
        parser.error(f"--seconds {given.seconds:g}: at least 10")
    if given.accelerated and given.run != "soak":
        parser.error("--accelerated: of soak alone")
    lacks = link.missing() if given.run == "network" else None
    if lacks is not None:
        parser.error(lacks)
    install(TransportSettings())
    is_light = given.light or given.accelerated
    run = f"{given.run}-accelerated" if given.accelerated else given.run
    picture = BUILD / f"{run}.svg"
    if given.accelerated:
        figures, limits, samples = asyncio.run(accelerated(given.frames, given.seconds))
        plot(samples, picture)
    else:
        module = network.LIGHT if given.light else _TELLING
        cases = given.only or list(network.CASES)
        figures, limits = _run(given.run, given.seconds, cases, module, picture)
    verdict = {
        "run": run, "seconds": given.seconds, "light": is_light, "machine": machine(),
        "figures": figures, "limits": limits, "plot": str(picture), "ok": all(limits.values()),
    }  # fmt: skip
    (BUILD / f"{run}.json").write_text(json.dumps(verdict, indent=2) + "\n")
    print(json.dumps(verdict, indent=2))
    return 0 if verdict["ok"] else 1


def _run(
    kind: str, seconds: float, cases: list[str], module: str, picture: Path
) -> tuple[dict[str, Any], dict[str, bool]]:
    """Run one and draw it."""
    with tempfile.TemporaryDirectory() as folder:
        state = Path(folder)
        if kind == "network":
            figures, limits = network.run(seconds, state, cases)
            network.draw(figures, picture)
            return figures, limits
        if kind == "engine":
            server = engine.start(state)
            try:
                figures, limits, samples = asyncio.run(engine.engine(server, seconds))
            finally:
                server.stop()
        else:
            # shorter deadlines, so that clients which vanish are over within a short run
            os.environ |= {
                "RESTYLE_SETUP_S": "3", "RESTYLE_NO_MEDIA_S": "5", "RESTYLE_SESSIONS": "8"
            }  # fmt: skip
            with serving(state, module=module) as server:
                figures, limits, samples = asyncio.run(_OF_A_SERVER[kind](server, seconds))
            if kind == "admission":
                os.environ["RESTYLE_SESSIONS"] = "4"  # all of them have clients on the same cores
                with serving(state, module=module) as server:
                    figures["twice the load"], kept = asyncio.run(twice(server, seconds / 3))
                limits |= {f"twice the load: {name}": is_so for name, is_so in kept.items()}
    plot(samples, picture)
    return figures, limits


if __name__ == "__main__":
    sys.exit(main())
