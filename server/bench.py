"""`restyle bench engine`: what the engine costs on this machine, as JSON.

Everything but "simulated" runs the configured model here. "simulated" runs the scheduler on a
device that is only a cost, t(B) = once + row × B: it says what the schedules promise, and nothing
of any machine's speed.
"""

import json
import os
import platform
import resource
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.backends.simulated import Clock, Device
from pipeline.engine import Engine, build_engine
from pipeline.params import StyleParams
from pipeline.scheduler import PERIOD
from server.settings import Settings
from streams.simulation import Camera, make_engine, simulate

Image = NDArray[np.uint8]
_FRAMES = 60
_TICKS = 10_000


def bench_engine(settings: Settings, say: Callable[[str], None]) -> int:
    """Measure and print."""
    engine = build_engine(settings.engine(), say)
    images = _noisy_pictures(engine, 16)
    figures: dict[str, Any] = {
        "machine": {
            "cpu": platform.processor() or platform.machine(),
            "cores": os.cpu_count(),
            "device": engine.info.device,
            "backend": engine.info.backend,
            "precision": engine.info.precision,
        },
        "model": engine.info.model,
        "size": f"{engine.info.width}x{engine.info.height}",
    }
    for name, measure in (
        ("steps", _steps), ("guidance", _guidance), ("overhead_ms", _overhead),
        ("sessions", _sessions), ("noise_and_deflicker", _temporal), ("similarity", _similarity),
    ):  # fmt: skip
        say(name.replace("_", " "))
        figures[name] = measure(engine, images)
    say("simulated")
    figures["simulated"] = _simulated()
    print(json.dumps(figures, indent=2))
    return 0


def _noisy_pictures(engine: Engine, count: int) -> list[Image]:
    """Make pictures as a camera does: one scene, other sensor noise; zeros would run faster."""
    random = np.random.default_rng(0)
    height, width = engine.info.height, engine.info.width
    y, x = np.mgrid[:height, :width] / max(height, width)
    scene = 128 + 80 * np.sin(9 * x[..., None] + np.arange(3)) * np.cos(7 * y[..., None])
    noisy = (scene + random.normal(0, 2, scene.shape) for _ in range(count))
    return [np.clip(picture, 0, 255).astype(np.uint8) for picture in noisy]


def _play(
    engine: Engine, images: list[Image], styles: dict[str, StyleParams], frames: int = _FRAMES
) -> tuple[float, dict[str, float], int]:
    """Run frames of sessions as fast as they go; give seconds, milliseconds by stage, skipped."""
    for session in styles:
        engine.open(session)
    stages: Counter[str] = Counter()
    sent = dict.fromkeys(styles, 0)
    done = skipped = 0
    began = time.perf_counter()
    while done < frames * len(styles):
        for session, style in styles.items():
            number = sent[session]
            if number < frames and engine.wants(session, style.steps):
                engine.submit(session, number, images[number % len(images)], style)
                sent[session] += 1
        for result in engine.tick():
            done += 1
            skipped += result.skipped
            stages.update(result.stages_ms)
    seconds = time.perf_counter() - began
    for session in styles:
        engine.close(session)
    return seconds, {name: round(ms / max(done, 1), 2) for name, ms in stages.items()}, skipped


def _steps(engine: Engine, images: list[Image]) -> dict[str, Any]:
    found = {}
    for steps in (1, 2, 4):
        style = StyleParams(prompt="ink", steps=steps, guidance_scale=1.0, deflicker=0.0)
        seconds, stages, _ = _play(engine, images, {"a": style})
        found[str(steps)] = {"fps": round(_FRAMES / seconds, 1), "ms": stages}
    return found


def _guidance(engine: Engine, images: list[Image]) -> dict[str, float]:
    two = StyleParams(prompt="ink", steps=2, guidance_scale=1.5, deflicker=0.0)
    styles = {
        "none": replace(two, guidance_scale=1.0),
        "self": two,
        "initialize": replace(two, negative_prompt="neon"),
        "full": replace(two, negative_prompt="neon", guidance="full"),
    }
    return {
        name: round(_FRAMES / _play(engine, images, {"a": style})[0], 1)
        for name, style in styles.items()
    }


def _overhead(engine: Engine, images: list[Image]) -> float:
    """Give the milliseconds of a frame that are neither encoding, denoising nor decoding."""
    seconds, stages, _ = _play(engine, images, {"a": StyleParams(prompt="ink")}, 200)
    return round(1000 * seconds / 200 - sum(stages.values()), 3)


def _sessions(engine: Engine, images: list[Image]) -> dict[str, Any]:
    """Let several people, each with a prompt of their own, share the engine."""
    prompts = ("ink", "neon", "oil painting", "pencil", "comic", "night", "clay", "gold")
    found = {}
    for count in (1, 2, 4, 8):
        styles = {f"s{i}": StyleParams(prompt=prompts[i]) for i in range(count)}
        seconds, _, _ = _play(engine, images, styles, 30)
        found[str(count)] = {"fps_together": round(30 * count / seconds, 1)}
    return found


def _temporal(engine: Engine, images: list[Image]) -> dict[str, float]:
    styles = {
        "off": StyleParams(prompt="ink", deflicker=0.0),
        "deflicker": StyleParams(prompt="ink"),
        "warped noise": StyleParams(prompt="ink", noise="warped", deflicker=0.0),
        "both": StyleParams(prompt="ink", noise="warped"),
    }
    return {
        name: round(1000 * _play(engine, images, {"a": style})[0] / _FRAMES, 2)
        for name, style in styles.items()
    }


def _similarity(engine: Engine, images: list[Image]) -> dict[str, float]:
    """Restyle a still scene with sensor noise of two grey levels."""
    style = StyleParams(prompt="ink")
    plain, _, _ = _play(engine, images, {"a": style}, 200)
    filtered = StyleParams(prompt="ink", similarity_filter=0.98)
    saved, _, skipped = _play(engine, images, {"a": filtered}, 200)
    return {
        "skipped": round(skipped / 200, 3),
        "time_saved": round(1 - saved / plain, 3),
        "ms_per_skipped_frame": round(_skip_ms(images), 3),
    }


def _skip_ms(images: list[Image]) -> float:
    from pipeline.similarity import SimilarityFilter

    similar = SimilarityFilter()
    began = time.perf_counter()
    for number in range(200):
        similar.skips(images[number % len(images)], 0.98)
    return 1000 * (time.perf_counter() - began) / 200


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
