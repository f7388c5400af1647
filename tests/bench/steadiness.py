"""What a steady picture costs: milliseconds of a thread a frame, and the speed of `stylize`.

python -m tests.bench.steadiness [--frames 60] [--rounds 3] [--film 300]: JSON

Parts are timed on one thread by its processor time, which other work of the machine hardly raises.
`stylize` goes by the clock and by the processor time of the process, without and with the filters
in turn, each after the other; `loss` is the share of the speed that the filters take, in percent.
The clock says something on a machine that does nothing else.
"""

import argparse
import inspect
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import torch
from tqdm import tqdm

from pipeline.config import EngineConfig
from pipeline.cores import available_cores
from pipeline.deflicker import Deflicker, to_latents, trusted
from pipeline.engine import Engine, build_engine
from pipeline.flow import InputFlow, stilled
from pipeline.params import StyleParams
from pipeline.picture_filter import PictureFilter, to_pixels
from pipeline.results import Image
from pipeline.session_noise import SessionNoise
from streams.convert import to_picture
from streams.offline import stylize_file
from streams.sinks.recorder import Recorder
from streams.sources.file import FileSource
from tests.bench.__main__ import machine
from tests.bench.consistency import CLIPS, read

SIDES = (256, 512)  # pixels
CHANNELS, CELL, FACTOR = 16, 8, 4  # of the embedded model's latents, and of the noise carried
STRENGTHS = (0.0, StyleParams().deflicker)
_WARM = 5  # frames that do not count
_KEPT = 30_000_000  # bytes: glibc keeps as much as was given back once, in an engine, too


class ThreadTimes:
    """Adds up the processor time that parts take of this thread."""

    def __init__(self) -> None:
        self._taken: dict[str, list[float]] = {}

    @contextmanager
    def of(self, part: str) -> Iterator[None]:
        """Time what is done meanwhile."""
        begin = time.thread_time()
        yield
        self._taken.setdefault(part, []).append(1000 * (time.thread_time() - begin))

    def medians(self) -> dict[str, float]:
        """Give each part's median in milliseconds, without the first frames."""
        return {part: round(statistics.median(t[_WARM:]), 3) for part, t in self._taken.items()}


@torch.inference_mode()
def costs(sources: Sequence[Image]) -> dict[str, float]:
    """Time every part on square frames, which stand for the finished pictures, too."""
    side, device, times = len(sources[0]), torch.device("cpu"), ThreadTimes()
    shape = (CHANNELS, side // CELL, side // CELL)
    flow, noise, params = InputFlow(), SessionNoise(shape, device, FACTOR), StyleParams()
    on_latents, on_pictures = Deflicker(), PictureFilter()
    random = torch.Generator().manual_seed(0)
    scene = torch.randn((1, *shape), generator=random)
    for image in sources:
        last = flow.grey
        with times.of("motion of the input"):
            motion = flow.follow(image, everywhere=False)
        with times.of("noise carried along"):
            noise.carried(params, flow, motion)
        if last is None or motion is None or flow.grey is None:
            continue
        with times.of("gate against motion in noise"):
            still = stilled(motion, last, flow.grey, flow.noise)
            trust = trusted(still)
        with times.of("motion on both grids"):
            cells = to_latents(still.backward, trust, *shape[1:], device)
            pixels = to_pixels(still.backward, trust, side, side)
        clean = scene + 0.1 * torch.randn((1, *shape), generator=random)
        with times.of("filter on latents"):
            on_latents(clean, cells, 1.0, "ink")
        with times.of("filter on the picture"):
            on_pictures(image, pixels, 1.0, "ink")
    return times.medians()


def stylize(engine: Engine, film: Path, deflicker: float, frames: int) -> dict[str, float]:
    """Restyle a film as the command does; give frames a second and processor time a frame."""
    style = replace(StyleParams(), prompt="an oil painting", deflicker=deflicker)
    source = FileSource(film)
    began, cpu = time.perf_counter(), time.process_time()
    try:
        stylize_file(engine, source, film.with_name("out.mp4"), style, lambda stages: None)
    finally:
        source.close()
    taken, cpu = time.perf_counter() - began, time.process_time() - cpu
    return {"fps": round(frames / taken, 2), "cpu_ms": round(1000 * cpu / frames, 2)}


def speeds(frames: int, rounds: int) -> dict[str, Any]:
    """Run films without and with the filters in turn; give each run, the medians and the loss."""
    seen: dict[float, list[dict[str, float]]] = {strength: [] for strength in STRENGTHS}
    with tempfile.TemporaryDirectory() as folder:
        film = Path(folder) / "in.mp4"
        recorder = Recorder(film, Fraction(25))
        for image in read(frames, CLIPS["lively"], SIDES[0]):
            recorder.write(to_picture(image))
        recorder.close()
        threads = available_cores()
        config = EngineConfig(cache=Path(folder), threads=threads, parallel_rows=threads)
        engine = build_engine(config, lambda step: None)
        for turn in tqdm(range(rounds), desc="stylize", unit="round"):
            for strength in STRENGTHS if turn % 2 else reversed(STRENGTHS):
                seen[strength].append(stylize(engine, film, strength, frames))
    medians = {
        strength: {name: statistics.median(run[name] for run in runs) for name in runs[0]}
        for strength, runs in seen.items()
    }
    without, with_filters = (medians[strength] for strength in STRENGTHS)
    figures: dict[str, Any] = {
        f"deflicker {strength:g}": {"median": medians[strength], "runs": seen[strength]}
        for strength in STRENGTHS
    }
    return figures | {
        "loss": {
            "fps": round(100 * (1 - with_filters["fps"] / without["fps"]), 1),
            "cpu_ms": round(100 * (1 - without["cpu_ms"] / with_filters["cpu_ms"]), 1),
        }
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=inspect.getdoc(sys.modules[__name__]))
    parser.add_argument("--frames", type=int, default=60, help="of each part, more than 8")
    parser.add_argument("--rounds", type=int, default=3, help="runs of a film with each; 0: none")
    parser.add_argument("--film", type=int, default=300, help="frames of its film")
    parser.add_argument("--to", type=Path, default=Path("build/steadiness.json"))
    arguments = parser.parse_args()
    if arguments.frames <= _WARM + 3:
        parser.error(f"--frames {arguments.frames}: more than {_WARM + 3}")
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    bytearray(_KEPT)  # or each array of a part would be new memory, which costs as much as the part
    figures: dict[str, Any] = {
        "machine": machine(),
        "load": [round(load, 1) for load in os.getloadavg()],
        "frames": arguments.frames,
        "steps": StyleParams().steps,  # as many fields of noise are carried
        "thread_ms": {
            f"{side} × {side}": costs(read(arguments.frames, CLIPS["lively"], side))
            for side in SIDES
        },
    }
    if arguments.rounds:
        figures["stylize"] = speeds(arguments.film, arguments.rounds)
    arguments.to.parent.mkdir(parents=True, exist_ok=True)
    arguments.to.write_text(json.dumps(figures, indent=2, ensure_ascii=False) + "\n")
    print(json.dumps(figures, indent=2, ensure_ascii=False))


if __name__ == "__main__":
    main()
