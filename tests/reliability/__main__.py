"""`make soak`, `make churn`, `make chaos`: a JSON verdict and a plot in build/.

python -m tests.reliability {soak,churn,chaos} [--seconds 60]
"""

import argparse
import asyncio
import inspect
import json
import os
import sys
import tempfile
from pathlib import Path

from streams.aiortc_patches import TransportSettings, install
from tests.bench.__main__ import machine
from tests.e2e.serving import serving
from tests.reliability.runs import BUILD, RUNS
from tests.reliability.sampling import plot


def main() -> int:
    """Run one; 1 when a limit was broken."""
    parser = argparse.ArgumentParser(description=inspect.getdoc(sys.modules[__name__]))
    parser.add_argument("run", choices=RUNS)
    parser.add_argument("--seconds", type=float, default=60)
    given = parser.parse_args()
    if given.seconds < 10:
        parser.error(f"--seconds {given.seconds:g}: at least 10")
    install(TransportSettings())
    # shorter deadlines, so that clients which vanish are over within a short run
    os.environ |= {"RESTYLE_SETUP_S": "3", "RESTYLE_NO_MEDIA_S": "5", "RESTYLE_SESSIONS": "8"}
    with tempfile.TemporaryDirectory() as state, serving(Path(state)) as server:
        figures, limits, samples = asyncio.run(RUNS[given.run](server, given.seconds))
    plot(samples, BUILD / f"{given.run}.svg")
    verdict = {
        "run": given.run, "seconds": given.seconds, "machine": machine(), "figures": figures,
        "limits": limits, "plot": str(BUILD / f"{given.run}.svg"), "ok": all(limits.values()),
    }  # fmt: skip
    (BUILD / f"{given.run}.json").write_text(json.dumps(verdict, indent=2) + "\n")
    print(json.dumps(verdict, indent=2))
    return 0 if verdict["ok"] else 1


if __name__ == "__main__":
    sys.exit(main())
