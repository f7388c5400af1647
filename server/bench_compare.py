"""`restyle bench engine --compare`: Restyle beside others, on the same weights, in one run.

Ratios and shares of what the machine can do are what to read; milliseconds are of this machine and
this moment only. An arm that is not there says why instead of a figure.
"""

import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.backends import choose_device
from pipeline.comparison import arms, ceilings, measuring, power
from pipeline.comparison.arms import Arm, Image
from pipeline.comparison.autoencoders import write_kl_vae
from pipeline.comparison.playing import Bench
from pipeline.comparison.subject import Subject, write_subject
from pipeline.config import BackendName, Precision
from pipeline.engine import Engine
from pipeline.errors import ConfigError
from pipeline.scheduler import PERIOD
from server.bench_arms import Length, load, measure_arms
from server.bench_schedules import live
from server.bench_table import tables
from server.plots import draw, draw_arms
from server.settings import Settings
from streams.simulation import Camera

Progress = Callable[[str], None]
_SWEEP = {"cuda": (1, 2, 4, 8, 12, 16), "cpu": (1, 2, 4)}  # sessions
_SWEEP_FRAMES = 60  # of each session, at most
_PEOPLE = 12  # each with a prompt of their own, at 30 frames a second
_LIVE_S = {"cuda": 10.0, "cpu": 3.0}  # seconds that they send
_SWEEP_WARM_UPS = 2  # more, before time is taken: state, kernels and numbers of rows are new to it
_ON_GPU: tuple[BackendName, ...] = ("eager", "graphs")
_ON_CPU: tuple[BackendName, ...] = ("eager", "openvino")
_LENGTH = Length()  # of what is measured of one engine alone
_KL_VAE = "kl_vae"  # the subfolder of what SD came with, beside the tiny autoencoder in "vae"
_ROWS = (1, 8)  # of a UNet call that is measured by itself


@dataclass(frozen=True, slots=True)
class Comparison:
    """What to compare with what."""

    architecture: str | None  # None: sd-turbo on a GPU, mini on a CPU
    streamdiffusion: Path | None
    steps: int
    rounds: int
    compiled: bool  # minutes of compiling
    plots: Path | None

    def __post_init__(self) -> None:
        if not 1 <= self.steps <= 8:
            raise ConfigError(f"steps {self.steps}: give 1 to 8")
        if self.rounds < 1:
            raise ConfigError(f"rounds {self.rounds}: give 1 or more")


def bench_compare(settings: Settings, wanted: Comparison, say: Progress) -> int:
    """Measure and print. Raises ConfigError for what cannot be measured."""
    config = settings.engine()
    device = choose_device(config)
    architecture = wanted.architecture or ("sd-turbo" if device == "cuda" else "mini")
    with tempfile.TemporaryDirectory() as scratch:
        say(f"writing {architecture} with random weights")
        write_subject(architecture, Path(scratch))
        write_kl_vae(Path(scratch) / _KL_VAE, small=architecture == "mini")
        subject = Subject(
            Path(scratch), config.width, config.height, wanted.steps, arms.torch_device(device)
        )
        figures = _measure(subject, wanted, Path(scratch) / "cache", say)
    figures = {"architecture": architecture} | figures
    print(json.dumps(figures, indent=2))
    print(tables(figures), file=sys.stderr)
    if wanted.plots is not None:
        title = f"{architecture}, {figures['size']}, {figures.get('arms_of')}"
        for path in (*draw(figures, wanted.plots), draw_arms(figures, wanted.plots, title)):
            say(f"drew {path}")
    return 0


def _measure(subject: Subject, wanted: Comparison, cache: Path, say: Progress) -> dict[str, Any]:
    missing: dict[str, str] = {}
    memory: dict[str, int | None] = {}
    made: dict[str, Arm] = {}
    engines: dict[str, Engine] = {}
    for name, make in _arms(subject, wanted, cache, engines, say).items():
        say(f"preparing {name}")
        with measuring.attempt(name, missing):
            before = measuring.memory_in_use(subject.device)
            arm = make()
            arm(_pictures(subject, 1)[0])
            made[name], memory[name] = arm, measuring.peak_memory(subject.device, before)
    if wanted.streamdiffusion is None:
        missing["streamdiffusion"] = "not measured: give --streamdiffusion and its checkout"
    say(f"{wanted.rounds} rounds of {', '.join(made)}")
    taken = measuring.interleaved(made, _pictures(subject, 16), wanted.rounds, missing)
    made = {name: made[name] for name in taken}
    engines = {name: engine for name, engine in engines.items() if name in made}
    say("ceilings, stages and sessions")
    frames = min(wanted.rounds, _SWEEP_FRAMES)
    sessions = _of_each(engines, "sessions", lambda e: _sessions(subject, e, frames), missing)
    precisions = {name: engine.info.precision for name, engine in engines.items()}
    return {
        "machine": _machine(subject),
        "size": f"{subject.width}x{subject.height}",
        "steps": subject.steps,
        "rounds": wanted.rounds,
        "ms_per_frame": {name: measuring.summary(times) for name, times in taken.items()},
        "times_as_fast": _ratios(taken),
        "precision": precisions,
        **_beside_eager(subject, made, engines, taken, sessions, missing),
        "stages_ms": _of_each(engines, "stages", lambda e: _stages(subject, e), missing),
        "sessions": sessions,
        "live": _of_each(engines, "live", lambda engine: _live(subject, engine), missing),
        "power": _power(subject, made, missing),
        **_arms_of_one(subject, engines, wanted.rounds, missing, say),
        "missing": missing,
        "peak_memory_bytes": memory,
    }


def _of_each(
    engines: dict[str, Engine],
    what: str,
    measure: Callable[[Engine], dict[str, Any]],
    missing: dict[str, str],
) -> dict[str, dict[str, Any]]:
    """Measure every engine; one that cannot be measured says why."""
    found: dict[str, dict[str, Any]] = {}
    for name, engine in engines.items():
        with measuring.attempt(f"{name}, {what}", missing):
            found[name] = measure(engine)
    return found


def _beside_eager(
    subject: Subject,
    made: dict[str, Arm],
    engines: dict[str, Engine],
    taken: dict[str, list[float]],
    sessions: dict[str, dict[str, Any]],
    missing: dict[str, str],
) -> dict[str, Any]:
    """Give what is measured with the help of eager Restyle; nothing where that is missing."""
    found: dict[str, Any] = {}
    if "restyle eager" in engines:
        with measuring.attempt("levels apart", missing):
            found["levels_apart"] = _levels_apart(subject, made)
        with measuring.attempt("share of the ceiling", missing):
            found |= _shares(subject, engines["restyle eager"], taken, sessions)
        with measuring.attempt("floor of the UNet", missing):
            found["floor_ms"] = _floor(subject, engines["restyle eager"])
    return found


def _arms(
    subject: Subject, wanted: Comparison, cache: Path, engines: dict[str, Engine], say: Progress
) -> dict[str, Callable[[], Arm]]:
    def restyle(name: str, backend: BackendName, precision: Precision) -> Arm:
        arm, engines[name] = arms.restyle(subject, backend, cache, say, precision)
        return arm

    on_gpu = subject.device.type == "cuda"
    backends = _ON_GPU if on_gpu else _ON_CPU
    if wanted.compiled:
        backends = (*backends, "compiled")
    made: dict[str, Callable[[], Arm]] = {
        f"restyle {backend}": partial(restyle, f"restyle {backend}", backend, "auto")
        for backend in backends
    }
    if on_gpu:  # of the last, the fastest there should be
        name = f"restyle {backends[-1]} fp8"
        made[name] = partial(restyle, name, backends[-1], "fp8")
    made["diffusers"] = lambda: arms.auto_pipeline(subject)
    made[f"diffusers {_KL_VAE}"] = lambda: arms.auto_pipeline(subject, _KL_VAE)  # as it is shipped
    source = wanted.streamdiffusion
    if source is not None:
        made["streamdiffusion"] = lambda: arms.stream_diffusion(subject, source)
        if wanted.compiled:
            made["streamdiffusion compiled"] = lambda: arms.stream_diffusion(subject, source, True)
    return made


def _arms_of_one(
    subject: Subject,
    engines: dict[str, Engine],
    rounds: int,
    missing: dict[str, str],
    say: Progress,
) -> dict[str, Any]:
    """Measure schedules, guidance, autoencoders and the similarity filter on the fastest engine
    there should be; nothing where there is none.
    """
    if not (exact := [name for name, engine in engines.items() if not name.endswith("fp8")]):
        return {}
    engine = engines[exact[-1]]
    bench = Bench(engine.networks, engine.config, _pictures(subject, 16))
    length = replace(_LENGTH, frames=min(rounds, _LENGTH.frames))
    return {"arms_of": exact[-1]} | measure_arms(bench, subject.style, length, missing, say)


def _ratios(taken: dict[str, list[float]]) -> dict[str, dict[str, float]]:
    """Say how many times as fast each of Restyle's arms is as each other one, by medians."""
    ours = {name: times for name, times in taken.items() if name.startswith("restyle")}
    others = {name: times for name, times in taken.items() if name not in ours}
    return {
        name: {
            other: round(float(np.median(theirs) / np.median(times)), 2)
            for other, theirs in others.items()
        }
        for name, times in ours.items()
    }


def _levels_apart(subject: Subject, made: dict[str, Arm]) -> dict[str, float]:
    """Compare what arms show with what eager Restyle shows, in levels of 255 on average.

    StreamDiffusion has Restyle's noise, so with one step it shows the same; diffusers draws its
    own.
    """
    (image,) = _pictures(subject, 1)
    shown = made["restyle eager"](image).astype(float)
    same = [
        n for n in made if n.startswith(("restyle", "streamdiffusion")) and n != "restyle eager"
    ]
    if subject.steps > 1:  # a stream batch shows an older frame
        same = [name for name in same if name.startswith("restyle")]
    return {name: round(float(np.abs(made[name](image) - shown).mean()), 3) for name in same}


def _shares(
    subject: Subject,
    eager: Engine,
    taken: dict[str, list[float]],
    sessions: dict[str, dict[str, Any]],
) -> dict[str, Any]:
    """Say what part of the machine's matrix rate each arm reaches: alone, and with full calls."""
    rate = measuring.matmul_ceiling(subject)
    flops = measuring.frame_flops(eager.networks, subject, *_inputs(subject, eager))
    return {
        "matmul_tflops": round(rate / 1e12, 3),
        "copy_gb_per_s": round(ceilings.copy_rate(subject) / 1e9, 2),
        "frame_gflop": round(flops / 1e9, 2),
        "share_of_ceiling": {
            name: round(flops / (float(np.median(times)) / 1000) / rate, 4)
            for name, times in taken.items()
            if not name.endswith(_KL_VAE)  # whose arithmetic is another
        },
        "share_of_ceiling_together": {
            name: {
                count: round(flops * found["own prompts"]["fps_together"] / rate, 4)
                for count, found in counts.items()
            }
            for name, counts in sessions.items()
        },
    }


def _floor(subject: Subject, eager: Engine) -> dict[str, float]:
    """Give what a UNet call's costly parts take by themselves, under the names of `_stages`."""
    inputs = _inputs(subject, eager)
    return {
        f"unet, {rows} rows": round(ceilings.unet_floor(eager.networks, subject, *inputs, rows), 3)
        for rows in _ROWS
    }


def _power(
    subject: Subject, made: dict[str, Arm], missing: dict[str, str]
) -> dict[str, dict[str, float]]:
    """Give watts of every arm, where the machine says them."""
    found: dict[str, dict[str, float]] = {}
    (image,) = _pictures(subject, 1)
    if (command := power.meter(subject.device)) is None:
        missing["power"] = "not measured: no NVIDIA GPU, or no nvidia-smi"
        return found
    for name, arm in made.items():
        with measuring.attempt(f"{name}, power", missing):
            if drawn := power.draw_of(lambda arm=arm: arm(image), command):  # type: ignore[misc]  # its own default
                found[name] = drawn
    return found


def _inputs(subject: Subject, engine: Engine) -> tuple[int, Any]:
    return 4, engine.networks.condition(subject.words().float())


def _stages(subject: Subject, engine: Engine) -> dict[str, float]:
    found: dict[str, float] = {}
    for rows in _ROWS:
        found |= measuring.stages(engine.networks, subject, *_inputs(subject, engine), rows)
    return found


def _sessions(subject: Subject, engine: Engine, frames: int) -> dict[str, Any]:
    """Let people share the engine, all with one prompt or each with its own."""
    images = _pictures(subject, 16)
    return {
        str(count): {
            kind: _serve(subject, engine, images, frames, count, own)
            for kind, own in (("one prompt", False), ("own prompts", True))
        }
        for count in _SWEEP[subject.device.type]
    }


def _serve(
    subject: Subject, engine: Engine, images: list[Image], frames: int, count: int, own: bool
) -> dict[str, float]:
    styles = [replace(subject.style, prompt=f"ink {i if own else 0}") for i in range(count)]
    for session, style in enumerate(styles):
        engine.prepare(style)
        engine.open(str(session))
    ages: list[float] = []
    began = 0.0
    for number in range(_SWEEP_WARM_UPS + frames):
        if number == _SWEEP_WARM_UPS:
            ages.clear()
            began = time.perf_counter()
        sent = time.perf_counter()
        for session, style in enumerate(styles):
            engine.submit(str(session), number, images[(number + session) % len(images)], style)
        while engine.in_flight:
            finished = engine.tick()
            ages += [1000 * (time.perf_counter() - sent)] * len(finished)
    seconds = time.perf_counter() - began
    for session in range(count):
        engine.close(str(session))
    return {
        "fps_together": round(count * frames / seconds, 2),
        "p50_ms": round(float(np.percentile(ages, 50)), 2),
        "p99_ms": round(float(np.percentile(ages, 99)), 2),
    }


def _live(subject: Subject, engine: Engine) -> dict[str, float]:
    """Let people send as cameras do, in real time; say how late the pictures come."""
    cameras = [
        Camera(f"p{i}", first=i * PERIOD / _PEOPLE, style=replace(subject.style, prompt=f"ink {i}"))
        for i in range(_PEOPLE)
    ]
    seconds = _LIVE_S[subject.device.type]
    return {"people": _PEOPLE} | live(engine, _pictures(subject, 16), cameras, seconds)


def _pictures(subject: Subject, count: int) -> list[Image]:
    """Make random pictures: zeros would run faster."""
    random = np.random.default_rng(0)
    shape = (count, subject.height, subject.width, 3)
    return list(random.integers(0, 256, shape, dtype=np.uint8))


def _machine(subject: Subject) -> dict[str, Any]:
    found: dict[str, Any] = {
        "cpu": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "device": arms.device_name(subject.device),
        "python": sys.version.split()[0],
    }
    return found | {"load": load()} | arms.versions()
