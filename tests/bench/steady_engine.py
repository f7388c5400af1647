"""What steadiness costs an engine on its own device: milliseconds of a tick, part by part.

python -m tests.bench.steady_engine [--device cuda] [--architecture sd-turbo] [--side 512]
    [--backend graphs] [--frames 120]: JSON

One camera, one step a frame, weights of a true architecture at random: speed does not depend on
what they are. Each arm is the same engine's way under other values, or an engine with a bank; the
frames of the clip come one after the other. `parts` are timed alone, with the device waited for.
"""

import argparse
import inspect
import json
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean, median
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from pipeline.comparison.arms import device_name, torch_device
from pipeline.comparison.measuring import timed
from pipeline.comparison.subject import SUBJECTS, Subject, write_subject
from pipeline.config import EngineConfig
from pipeline.deflicker import Deflicker, to_latents, trusted
from pipeline.engine import Engine, build_engine
from pipeline.flow import InputFlow, stilled
from pipeline.params import StyleParams
from pipeline.results import Image
from pipeline.session_noise import SessionNoise
from tests.bench.consistency import CLIPS, read

_WARM = 10  # frames of an arm that do not count
STYLES: dict[str, dict[str, Any]] = {
    "plain": {},
    "deflicker, the default": {"deflicker": StyleParams().deflicker},
    "warped noise": {"noise": "warped"},
    "warped noise and deflicker": {"noise": "warped", "deflicker": 1.0},
}
BANKS: dict[str, dict[str, Any]] = {
    "bank of 1 frame": {"feature_bank": 1},
    "bank of 1 frame, merged every 4": {"feature_bank": 1, "feature_merge": 4},
    "bank of 4 frames": {"feature_bank": 4},
}


def play(engine: Engine, sources: Sequence[Image], style: StyleParams) -> dict[str, float]:
    """Show frames one by one; give the milliseconds of all of a tick, and of the UNet's call."""
    whole, unet = [], []
    engine.open("bench")
    for number, image in enumerate(sources):
        began = time.perf_counter()
        engine.submit("bench", number, image, style, number / 25)
        while engine.in_flight:
            unet.extend(result.stages_ms["unet"] for result in engine.tick())
        whole.append(1000 * (time.perf_counter() - began))
    engine.close("bench")
    counted, calls = whole[_WARM:], unet[_WARM:]
    return {
        "ms": round(median(counted), 3),
        "p95_ms": round(float(np.percentile(counted, 95)), 3),
        "unet_ms": round(median(calls), 3),
        "unet_mean_ms": round(fmean(calls), 3),  # what some calls do alone is in it: merging
    }


@torch.inference_mode()
def parts(shape: tuple[int, int, int], sources: Sequence[Image], device: torch.device) -> Any:
    """Time what follows the motion alone: noise carried along, and the filter on latents."""
    noise, params = SessionNoise(shape, device, factor=4), StyleParams(noise="warped")
    flow = InputFlow()
    noise.carried(params, flow, flow.follow(sources[0], everywhere=True))
    last = flow.grey
    motion = flow.follow(sources[1], everywhere=True)
    now = flow.grey
    assert motion is not None
    assert last is not None
    assert now is not None
    still = stilled(motion, last, now, flow.noise)
    cells = to_latents(still.backward, trusted(still), *shape[1:], device)
    deflicker, clean = Deflicker(), torch.randn((1, *shape)).to(device)
    calls: dict[str, Callable[[], object]] = {
        "noise carried along": lambda: noise.carried(params, flow, motion),
        "filter on latents": lambda: deflicker(clean, cells, 1.0, "ink"),
    }
    return {f"{name}, ms": round(timed(call, device, 30), 3) for name, call in calls.items()}


def measure(device: str, architecture: str, side: int, frames: int, backend: str) -> dict[str, Any]:
    """Run all arms; give the facts."""
    found = torch_device(device)
    sources = read(frames, CLIPS["lively"], side)
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "model"
        write_subject(architecture, model)

        config = EngineConfig(
            model=str(model),
            width=side,
            height=side,
            device=found.type,  # type: ignore[arg-type]  # cpu or cuda
            backend=backend,  # type: ignore[arg-type]  # checked there
            cache=Path(folder),
        )
        plain = Subject(model, side, side, 1, found).style
        arms, engine = {}, build_engine(config)
        for name, values in tqdm(STYLES.items(), desc="styles", unit="arm"):
            arms[name] = play(engine, sources, replace(plain, **values))
        shape = engine._latent_shape((side, side))
        del engine
        for name, values in tqdm(BANKS.items(), desc="banks", unit="arm"):
            arms[name] = play(build_engine(replace(config, **values)), sources, plain)
    base = arms["plain"]
    for name in BANKS:
        arms[name]["unet_over_plain"] = round(arms[name]["unet_ms"] / base["unet_ms"], 3)
    return {
        "device": device_name(found), "architecture": architecture, "side": side,
        "backend": backend, "frames": frames, "arms": arms, "parts": parts(shape, sources, found),
    }  # fmt: skip


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=inspect.getdoc(sys.modules[__name__]))
    parser.add_argument("--device", default="cuda", help="cuda or cpu")
    parser.add_argument("--architecture", default="sd-turbo", choices=SUBJECTS)
    parser.add_argument("--side", type=int, default=512, help="pixels")
    parser.add_argument("--frames", type=int, default=120, help=f"of each arm, more than {_WARM}")
    parser.add_argument("--backend", default="graphs", help="eager, graphs or compiled")
    given = parser.parse_args()
    if given.frames <= _WARM:
        parser.error(f"--frames {given.frames}: give more than {_WARM}")
    facts = measure(given.device, given.architecture, given.side, given.frames, given.backend)
    sys.stdout.write(json.dumps(facts, indent=2) + "\n")


if __name__ == "__main__":
    main()
