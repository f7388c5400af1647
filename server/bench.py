"""`restyle bench engine`: what the engine costs on this machine, as JSON and tables.

Everything but "simulated" runs the configured model here. "simulated" runs the scheduler on a
device that is only a cost, t(B) = once + row × B: it says what the schedules promise, and nothing
of any machine's speed.
"""

import json
import os
import platform
import resource
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.backends.simulated import Clock, Device
from pipeline.comparison.calls import calls, memory, share_of_ceiling
from pipeline.comparison.playing import Bench
from pipeline.comparison.still import pictures
from pipeline.engine import build_engine
from pipeline.params import StyleParams
from pipeline.scheduler import PERIOD
from server.bench_arms import Length, load, measure_arms
from server.bench_table import tables
from server.plots import draw_arms, draw_engine
from server.settings import Settings
from server.version import VERSION
from streams.simulation import Camera, make_engine, simulate

_FRAMES = 60
_TICKS = 10_000
_PLAIN = StyleParams(prompt="ink", guidance_scale=1.0, deflicker=0.0)


def bench_engine(settings: Settings, say: Callable[[str], None], plots: Path | None = None) -> int:
    """Measure and print: JSON, and tables on stderr; draw where a folder for PNG files is given."""
    engine = build_engine(settings.engine(), say)
    info = engine.info
    bench = Bench(engine.networks, engine.config, pictures(info.width, info.height, 0))
    figures: dict[str, Any] = {
        "machine": {
            "cpu": platform.processor() or platform.machine(),
            "cores": os.cpu_count(),
            "device": info.device,
            "backend": info.backend,
            "precision": info.precision,
            "load_before": load(),
        },
        "model": info.model,
        "size": f"{info.width}x{info.height}",
    }
    figures["machine"] |= {"date": datetime.now(UTC).date().isoformat(), "version": VERSION}
    for name, measure in (
        ("steps", _steps), ("overhead_ms", _overhead), ("sessions", _sessions),
        ("noise_and_deflicker", partial(_temporal, warped=settings.warped_noise)),
        ("calls", calls), ("memory", memory),
    ):  # fmt: skip
        say(name.replace("_", " "))
        figures[name] = measure(bench)
    fps = figures["steps"]["1"]["fps"]
    figures["share_of_ceiling"] = share_of_ceiling(bench, fps, figures["sessions"])
    missing: dict[str, str] = {}
    if not settings.warped_noise:
        missing["warped noise"] = "not measured: this server leaves it out"
    figures |= measure_arms(bench, _PLAIN, Length(), missing, say)
    figures["missing"] = missing
    say("simulated")
    figures["simulated"] = _simulated() | {"fitted": _fitted(figures["calls"]["fit"])}
    figures["machine"]["load_after"] = load()
    print(json.dumps(figures, indent=2))
    print(tables(figures), file=sys.stderr)
    if plots is not None:
        title = f"{info.model}, {figures['size']}, {info.backend} on {info.device}"
        for path in (draw_arms(figures, plots, title), draw_engine(figures, plots, title)):
            say(f"drew {path}")
    return 0


def _steps(bench: Bench) -> dict[str, Any]:
    found = {}
    for steps in (1, 2, 4):
        played = bench.play({"a": replace(_PLAIN, steps=steps)}, _FRAMES)
        found[str(steps)] = {"fps": round(played.fps, 1), "ms": played.stages_ms}
    return found


def _overhead(bench: Bench) -> float:
    """Give the milliseconds of a frame that are neither encoding, denoising nor decoding."""
    played = bench.play({"a": StyleParams(prompt="ink")}, 200)
    return round(1000 * played.seconds / played.frames - sum(played.stages_ms.values()), 3)


def _sessions(bench: Bench) -> dict[str, Any]:
    """Let several people share the engine, all with one prompt or each with their own."""
    prompts = ("ink", "neon", "oil painting", "pencil", "comic", "night", "clay", "gold")
    found: dict[str, Any] = {}
    for count in (1, 2, 4, 8):
        found[str(count)] = {}
        for kind, own in (("one prompt", False), ("own prompts", True)):
            styles = {
                f"s{i}": replace(_PLAIN, prompt=prompts[i if own else 0]) for i in range(count)
            }
            played = bench.play(styles, max(8, _FRAMES // count))
            one = found.get("1", {}).get(kind, {}).get("fps_together", played.fps)
            found[str(count)][kind] = {
                "fps_together": round(played.fps, 2),
                "times_one": round(played.fps / one, 2),
                "rows_per_call": round(played.rows / played.calls, 2),
            }
    return found


def _temporal(bench: Bench, warped: bool) -> dict[str, float]:
    styles = {
        "off": StyleParams(prompt="ink", deflicker=0.0),
        "deflicker": StyleParams(prompt="ink"),
    }
    if warped:
        styles |= {
            "warped noise": StyleParams(prompt="ink", noise="warped", deflicker=0.0),
            "both": StyleParams(prompt="ink", noise="warped"),
        }
    played = {name: bench.play({"a": style}, _FRAMES) for name, style in styles.items()}
    return {name: each.ms(each.seconds) for name, each in played.items()}


def _fitted(fit: dict[str, float]) -> dict[str, float]:
    """Say what sharing calls and either schedule would be worth if calls took what was fitted."""
    once, row = fit["once_ms"] / 1000, fit["row_ms"] / 1000
    plain = StyleParams(guidance_scale=1.0, deflicker=0.0)
    four = [Camera(f"p{i}", first=i * PERIOD / 4, style=plain) for i in range(4)]
    seconds = max(10.0, 40 * (once + row))
    served = {rows: len(_run(four, once, row, seconds, max_rows=rows)[0]) for rows in (1, 4)}
    steps = [Camera("one", style=replace(plain, steps=4))]
    ages = {
        name: float(np.median([f.finished - f.arrived for f in _run(
            steps, once, row, seconds, schedule=name)[0]]))
        for name in ("step-major", "stream-batch")
    }  # fmt: skip
    return {
        "four_people_in_shared_calls_beside_one_row_a_call": round(served[4] / served[1], 2),
        "step_major_age_beside_stream_batch": round(ages["step-major"] / ages["stream-batch"], 2),
    }


def _simulated() -> dict[str, Any]:
    plain = StyleParams(guidance_scale=1.0, deflicker=0.0)
    four = replace(plain, steps=4)
    twelve = [Camera(f"p{i}", first=i * PERIOD / 12, style=plain) for i in range(12)]
    crowd, _ = _run(twelve, 0.8 * PERIOD - 12 * 0.0016, 0.0012, 20)
    late = [1000 * (frame.finished - frame.since - PERIOD) for frame in crowd]
    counts = Counter(frame.session for frame in crowd)
    ages = {}
    for schedule in ("step-major", "stream-batch"):
        busy = [Camera(f"p{i}", first=i * PERIOD / 4, style=four) for i in range(4)]
        served, _ = _run(busy, 0.002, 0.0003, 10, schedule=schedule)
        ages[schedule] = round(
            1000 * float(np.median([frame.finished - frame.arrived for frame in served])), 1
        )
    return {
        "twelve_people_80_percent": {
            "fps_each": round(min(counts.values()) / 20, 1),
            "latest_ms_after_deadline": round(max(late), 1),
            "unfairness": round(1 - min(counts.values()) / max(counts.values()), 3),
        },
        "four_people_four_steps_age_ms": ages,
        "memory_growth_mb_over_10000_ticks": _growth(),
    }


def _run(
    cameras: list[Camera], once: float, row: float, seconds: float, **config: object
) -> tuple[list[Any], Device]:
    device = Device(Clock(), once, row)
    engine = make_engine(device, **config)
    return simulate(engine, device.clock, cameras, seconds), device


def _growth() -> float:
    """Give how much memory grows over ten thousand ticks, after the first thousand."""
    device = Device(Clock(), 0.001, 0.001)
    engine = make_engine(device)
    engine.open("a")
    image = np.zeros((64, 64, 3), np.uint8)
    before = 0
    for number in range(_TICKS + 1000):
        if number == 1000:
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        engine.submit("a", number, image, StyleParams(guidance_scale=1.0, deflicker=0.0))
        engine.tick()
    return round((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024, 2)
