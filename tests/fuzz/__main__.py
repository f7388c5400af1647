"""`make fuzz`: mutate the corpus for some minutes; what crashes is kept in it.

python -m tests.fuzz [--minutes 10] [--only style,offer,…] [--seed N]
"""

import argparse
import asyncio
import hashlib
import inspect
import json
import logging
import random
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.fuzz.mutation import mutate
from tests.fuzz.targets import FOLDER, TARGETS, ground

SLOW = 1.0  # seconds; reported, not kept: the clock of a busy machine is no witness


async def fuzz(names: list[str], minutes: float, seed: int) -> dict[str, Any]:
    """Give each target its share of the time; give counts and what crashed."""
    verdict: dict[str, Any] = {"seed": seed}
    share = minutes * 60 / len(names)
    for name in names:
        print(f"{name} …", file=sys.stderr)
        with tempfile.TemporaryDirectory() as folder:
            async with ground(Path(folder)) as on:
                verdict[name] = await _target(name, on, time.monotonic() + share, seed)
        print(f"{name}: {json.dumps(verdict[name])}", file=sys.stderr)
    return verdict


async def _target(name: str, on: Any, end: float, seed: int) -> dict[str, Any]:
    chance = random.Random(seed)
    samples = [path.read_bytes() for path in sorted(FOLDER[name].iterdir())]
    inputs, slowest, crashes = 0, 0.0, {}
    while time.monotonic() < end:
        data = mutate(chance.choice(samples), samples, chance)
        began = time.monotonic()
        try:
            await TARGETS[name](data, on)
        except Exception as error:
            logging.getLogger(__name__).debug("crash", exc_info=True)
            kind = f"{type(error).__name__} {_where(error)}"
            if kind not in crashes:  # one sample of each kind is enough
                crashes[kind] = _keep(FOLDER[name], data)
        slowest = max(slowest, time.monotonic() - began)
        inputs += 1
    return {"inputs": inputs, "slowest_s": round(slowest, 3), "crashes": crashes}


def _where(error: BaseException) -> str:
    last = error.__traceback__
    while last is not None and last.tb_next is not None:
        last = last.tb_next
    return f"{Path(last.tb_frame.f_code.co_filename).name}:{last.tb_lineno}" if last else "?"


def _keep(folder: Path, data: bytes) -> str:
    path = folder / f"crash-{hashlib.sha256(data).hexdigest()[:12]}"
    path.write_bytes(data)
    return path.name


def main() -> int:
    """Fuzz and print the verdict as JSON; 1 when something crashed or was slow."""
    parser = argparse.ArgumentParser(description=inspect.getdoc(sys.modules[__name__]))
    parser.add_argument("--minutes", type=float, default=1)
    parser.add_argument("--only", default=",".join(TARGETS))
    parser.add_argument("--seed", type=int, default=int(time.time()))
    given = parser.parse_args()
    names = given.only.split(",")
    unknown = sorted(set(names) - set(TARGETS))
    if unknown or given.minutes <= 0:
        parser.error(f"--only {unknown}: one of {', '.join(TARGETS)}; --minutes above 0")
    logging.disable(logging.CRITICAL)
    verdict = asyncio.run(fuzz(names, given.minutes, given.seed))
    found = [verdict[name] for name in names]
    verdict["ok"] = not any(one["crashes"] or one["slowest_s"] > SLOW for one in found)
    print(json.dumps(verdict, indent=2))
    return 0 if verdict["ok"] else 1


if __name__ == "__main__":
    sys.exit(main())
