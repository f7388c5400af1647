"""The arms of a comparison and its arithmetic, on SD-Turbo's layout at a hundredth of its size."""

import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch.overrides import TorchFunctionMode

from pipeline.backends.eager import EagerNetworks
from pipeline.comparison import arms, ceilings, measuring, power
from pipeline.comparison.autoencoders import write_kl_vae
from pipeline.comparison.playing import Bench
from pipeline.comparison.subject import Subject, write_subject
from pipeline.config import EngineConfig
from pipeline.errors import BackendUnavailable, ConfigError
from pipeline.models.folder import open_folder
from pipeline.params import StyleParams
from server.bench_arms import Length
from tests.pipeline.conftest import picture

CPU = torch.device("cpu")
STREAM = '''
import torch
class StreamDiffusion:
    """Takes what the true one takes; adds the noise it is given, at its steps."""
    def __init__(self, pipe, t_index_list, torch_dtype, width, height, cfg_type):
        self.pipe, self.indices, self.guidance = pipe, t_index_list, cfg_type
        self.shape = (len(t_index_list), 4, height // 8, width // 8)
        self.unet, self.vae = pipe.unet, pipe.vae
        self.earlier = torch.zeros(self.shape)[1:]  # frames that are on their way
    def prepare(self, prompt, num_inference_steps, guidance_scale):
        assert num_inference_steps == 50
        self.words = self.pipe.encode_prompt(prompt=prompt, device="cpu")[0]
        self.init_noise = torch.zeros(self.shape)
    @torch.no_grad()
    def __call__(self, image):
        start = torch.cuda.Event(enable_timing=True)
        start.record()
        assert 0 <= float(image.min()) and float(image.max()) <= 1
        abar = torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float64) ** 2
        t = torch.tensor([999 - 20 * index for index in self.indices])
        abar = torch.cumprod(1 - abar, 0)[t].float()[:, None, None, None]
        z = self.vae.encode(image * 2 - 1).latents
        x = abar[:1]**0.5 * z + (1 - abar[:1])**0.5 * self.init_noise[0]
        x = torch.cat([x, self.earlier])
        eps = self.unet(x, t, self.words.expand(len(x), -1, -1)).sample
        clean = (x - (1 - abar)**0.5 * eps) / abar**0.5
        self.earlier = abar[1:]**0.5 * clean[:-1] + (1 - abar[1:])**0.5 * self.init_noise[1:]
        torch.cuda.synchronize()
        return self.vae.decode(clean[-1:]).sample
'''


@pytest.fixture(scope="module")
def subject(tmp_path_factory: pytest.TempPathFactory) -> Subject:
    folder = tmp_path_factory.mktemp("subject")
    write_subject("mini", folder)
    return Subject(folder, 64, 64, 1, CPU)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    package = tmp_path / "src" / "streamdiffusion"
    package.mkdir(parents=True)
    (package / "pipeline.py").write_text("")
    (package / "__init__.py").write_text(STREAM)
    return tmp_path


def test_an_architecture_that_cannot_be_compared_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="architecture 'sdxl-turbo': give sd-turbo, sd15, mini"):
        write_subject("sdxl-turbo", tmp_path)


def test_a_folder_that_is_no_checkout_is_refused_with_what_to_give(
    subject: Subject, tmp_path: Path
) -> None:
    with pytest.raises(BackendUnavailable, match=r"there is no src/streamdiffusion/pipeline\.py"):
        arms.stream_diffusion(subject, tmp_path / "nothing")


def test_streamdiffusion_shows_with_the_same_noise_what_restyle_shows(
    subject: Subject, checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "streamdiffusion", raising=False)
    event = torch.cuda.Event
    theirs = arms.stream_diffusion(subject, checkout)
    ours, engine = arms.restyle(subject, "eager", tmp_path, lambda message: None)

    shown = [arm(picture()).astype(int) for arm in (ours, theirs)]

    assert engine.info.backend == "eager"
    assert np.abs(shown[0] - shown[1]).max() <= 1
    assert np.abs(shown[0] - picture()).mean() > 4  # there is something to agree on
    assert torch.cuda.Event is event  # stand-ins are gone
    assert str(checkout / "src") not in sys.path


@pytest.mark.parametrize("steps", [2, 4])
def test_streamdiffusion_runs_with_as_many_fields_of_noise_as_it_has_steps(
    subject: Subject, checkout: Path, monkeypatch: pytest.MonkeyPatch, steps: int
) -> None:
    monkeypatch.delitem(sys.modules, "streamdiffusion", raising=False)
    arm = arms.stream_diffusion(replace(subject, steps=steps), checkout)

    shown = [arm(picture()).astype(int) for _ in range(steps + 1)]

    assert np.array_equal(shown[-1], shown[-2])  # its batch is full: the same picture comes out
    assert not np.array_equal(shown[0], shown[-1])


def test_compiled_streamdiffusion_runs_all_three_networks_compiled(
    subject: Subject, checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "streamdiffusion", raising=False)
    ran: set[str] = set()

    def compiled(forward: Callable[..., Any], **_: object) -> Callable[..., Any]:
        def run(*values: Any, **named: Any) -> Any:
            ran.add(type(forward.__self__).__name__)
            return forward(*values, **named)

        return run

    monkeypatch.setattr(torch, "compile", compiled)

    arms.stream_diffusion(subject, checkout, compiled=True)(picture())

    assert ran == {"UNet2DConditionModel", "EncoderTiny", "DecoderTiny"}


def test_diffusers_own_pipeline_runs_the_same_networks_and_the_kl_vae_it_is_shipped_with(
    subject: Subject,
) -> None:
    write_kl_vae(subject.folder / "kl_vae", small=True)
    try:
        shown = [arms.auto_pipeline(subject, part)(picture()) for part in ("vae", "kl_vae")]
    finally:
        shutil.rmtree(subject.folder / "kl_vae")  # the other tests' folder has one autoencoder

    for image in shown:
        assert image.shape == (64, 64, 3)
        assert image.dtype == np.uint8
        assert image.std() > 1
    assert not np.array_equal(*shown)


def test_a_backend_that_fell_back_is_no_arm(
    subject: Subject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = SimpleNamespace(info=SimpleNamespace(backend="openvino"))
    monkeypatch.setattr(arms, "build_engine", lambda config, say: other)

    with pytest.raises(BackendUnavailable, match="backend tensorrt is not there: openvino came"):
        arms.restyle(subject, "tensorrt", tmp_path, lambda message: None)


def test_arithmetic_is_counted_as_published(subject: Subject) -> None:
    """0.5 GFLOP a step at 128² for this layout, less the words' projections (design, 9.2)."""
    config = EngineConfig(model=str(subject.folder), width=128, height=128, device="cpu")
    networks = EagerNetworks(open_folder(config), config, lambda message: None)
    prompt = networks.condition(subject.words())
    counts = [
        measuring.frame_flops(networks, Subject(subject.folder, 128, 128, n, CPU), 4, prompt)
        for n in (1, 2)
    ]

    assert counts[1] - counts[0] == pytest.approx(0.5e9, rel=0.3)


def test_arms_take_turns_and_warm_up_unseen(monkeypatch: pytest.MonkeyPatch) -> None:
    now, calls = [0.0], []
    monkeypatch.setattr("pipeline.comparison.measuring.time.perf_counter", lambda: now[0])

    def arm(name: str, seconds: float) -> arms.Arm:
        def run(image: arms.Image) -> arms.Image:
            calls.append(name)
            now[0] += seconds
            return image

        return run

    two = {"quick": arm("quick", 0.001), "slow": arm("slow", 0.004)}
    taken = measuring.interleaved(two, [picture()], 4, {})

    assert calls == ["quick", "slow"] * 7
    assert taken["slow"] == pytest.approx([4.0] * 4)
    assert measuring.summary(taken["quick"]) == {"median": 1.0, "iqr": 0.0}


def test_an_arm_that_fails_says_why_and_the_others_are_measured(
    caplog: pytest.LogCaptureFixture,
) -> None:
    turns = iter(range(100))

    def broken(image: arms.Image) -> arms.Image:
        if next(turns) == 4:
            raise RuntimeError("out of memory")
        return image

    failed: dict[str, str] = {}
    taken = measuring.interleaved(
        {"broken": broken, "whole": lambda image: image}, [picture()], 4, failed
    )

    assert failed == {"broken": "RuntimeError: out of memory"}
    assert [len(times) for times in taken.values()] == [4]
    assert "broken failed" in caplog.text


def test_memory_of_an_arm_is_what_came_to_that_of_those_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    in_use = {"now": 700, "most": 900}
    cuda = torch.device("cuda")
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device: in_use["now"])
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda device: in_use["most"])
    monkeypatch.setattr(
        torch.cuda, "reset_peak_memory_stats", lambda device: in_use.update(most=in_use["now"])
    )

    before = measuring.memory_in_use(cuda)
    in_use.update(now=750, most=max(in_use["most"], 780))

    assert measuring.peak_memory(cuda, before) == 80
    assert measuring.peak_memory(CPU, measuring.memory_in_use(CPU)) is None


def test_a_comparison_keeps_its_figures_whatever_fails(
    subject: Subject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from server import bench_compare

    def fails(*_: object) -> arms.Arm:
        raise RuntimeError("their own bug")

    said: list[str] = []
    monkeypatch.setattr(arms, "auto_pipeline", fails)
    monkeypatch.setattr(bench_compare, "_ON_CPU", ("eager",))
    monkeypatch.setattr(bench_compare, "_SWEEP", {"cpu": (1, 2)})
    monkeypatch.setattr(bench_compare, "_stages", fails)
    monkeypatch.setattr(bench_compare, "_LIVE_S", {"cpu": 2.0})
    lengths: list[int] = []

    def arms_of(bench: Bench, style: StyleParams, length: Length, *_: object) -> dict[str, Any]:
        lengths.append(length.frames)
        return {"guidance": {"none": bench.engine.info.backend, "steps": style.steps}}

    monkeypatch.setattr(bench_compare, "measure_arms", arms_of)  # test_bench_engine.py has it
    monkeypatch.setattr(measuring, "matmul_ceiling", lambda subject: 1e9)
    monkeypatch.setattr(ceilings, "copy_rate", lambda subject: 5e9)
    monkeypatch.setattr(ceilings, "unet_floor", lambda *given: float(given[-1]))
    wanted = bench_compare.Comparison("mini", tmp_path / "nothing", 1, 3, False, None)

    found = bench_compare._measure(subject, wanted, tmp_path, said.append)

    for name in ("diffusers", "diffusers kl_vae"):
        assert found["missing"][name] == "RuntimeError: their own bug"
    assert "there is no src/streamdiffusion" in found["missing"]["streamdiffusion"]
    assert found["missing"]["restyle eager, stages"] == "RuntimeError: their own bug"
    assert found["ms_per_frame"].keys() == {"restyle eager"}
    assert found["precision"] == {"restyle eager": "fp32"}
    assert found["copy_gb_per_s"] == 5.0
    assert found["floor_ms"] == {"unet, 1 rows": 1.0, "unet, 8 rows": 8.0}
    assert found["power"] == {}
    assert found["missing"]["power"] == "not measured: no NVIDIA GPU, or no nvidia-smi"
    assert found["sessions"]["restyle eager"].keys() == {"1", "2"}
    assert found["share_of_ceiling"]["restyle eager"] > 0
    together = found["share_of_ceiling_together"]["restyle eager"]
    flops = 1e9 * found["frame_gflop"]
    for count, share in together.items():
        fps = found["sessions"]["restyle eager"][count]["own prompts"]["fps_together"]
        assert share == pytest.approx(flops * fps / 1e9, rel=0.05)
    assert found["arms_of"] == "restyle eager"
    assert found["guidance"] == {"none": "eager", "steps": 1}
    assert lengths == [3]  # no more frames than there are rounds
    live = found["live"]["restyle eager"]
    assert live["people"] == 12
    assert 0 < live["fps_each"] <= 31
    assert 0 < live["p50_ms"] <= live["p99_ms"] < 2000


class ColdEngine:
    """Takes a second for the first two frames of a session and a hundredth for each later one."""

    def __init__(self) -> None:
        self.frames: dict[str, int] = {}
        self.in_flight, self.now = 0, 0.0

    def prepare(self, style: StyleParams) -> None:
        pass

    def open(self, session: str) -> None:
        self.frames[session] = 0

    def close(self, session: str) -> None:
        pass

    def submit(self, session: str, number: int, image: arms.Image, style: StyleParams) -> None:
        self.frames[session] += 1
        self.in_flight += 1

    def tick(self) -> list[object]:
        self.now += 1.0 if min(self.frames.values()) <= 2 else 0.01
        done, self.in_flight = self.in_flight, 0
        return [object()] * done


def test_people_who_share_an_engine_are_timed_once_it_is_warm(
    subject: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    from server import bench_compare

    engine = ColdEngine()
    monkeypatch.setattr(bench_compare, "time", SimpleNamespace(perf_counter=lambda: engine.now))

    found = bench_compare._serve(subject, engine, [picture()] * 3, 6, 2, True)

    assert engine.frames == {"0": 8, "1": 8}
    assert found == {"fps_together": 200.0, "p50_ms": 10.0, "p99_ms": 10.0}


def test_the_ceiling_is_the_arithmetic_of_a_product_by_its_time(
    subject: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.comparison.measuring.timed", lambda call, device, times: 2.0)

    assert measuring.matmul_ceiling(subject) == 2 * 1024**3 / 0.002


def test_the_rate_of_copies_counts_what_is_read_and_what_is_written(
    subject: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.comparison.ceilings.timed", lambda call, device, times: 2.0)
    assert ceilings.copy_rate(subject) == 2 * 2**26 / 0.002


def test_the_floor_is_the_best_time_of_each_costly_call_as_often_as_it_is_made(
    subject: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = EngineConfig(model=str(subject.folder), width=64, height=64, device="cpu")
    networks = EagerNetworks(open_folder(config), config, lambda message: None)
    timed: list[tuple[str, list[torch.Size]]] = []

    def milliseconds(run: Callable[[], object], device: torch.device) -> float:
        with Layouts() as called:
            run()
        timed.append((called.name, called.shapes))
        return {"conv2d": 10.0 if called.channels_last else 100.0}.get(called.name, 1.0)

    monkeypatch.setattr(ceilings, "_milliseconds", milliseconds)
    prompt = networks.condition(subject.words())
    ran: list[str] = []
    for layer in networks._denoiser.unet.modules():
        layer.register_forward_hook(lambda layer, *_: ran.append(type(layer).__name__))

    found = ceilings.unet_floor(networks, subject, 4, prompt, 2)

    ran = ran[: len(ran) // 2]  # it is called once before
    costly = {name: ran.count(name) for name in ("Conv2d", "Linear", "Attention")}
    assert min(costly.values()) > 20
    assert found == 10 * costly["Conv2d"] + costly["Linear"] + costly["Attention"]
    linear = [tuple(shapes) for name, shapes in timed if name == "linear"]
    assert len(set(linear)) == len(linear) < costly["Linear"]  # each distinct one once
    assert {shapes[0][0] for _, shapes in timed} == {2}  # rows


class Layouts(TorchFunctionMode):
    """Notes the name, the tensors' shapes and the layout of the last call of torch."""

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> torch.Tensor:
        tensors = [each for each in args if isinstance(each, torch.Tensor)]
        self.name, self.shapes = func.__name__, [each.shape for each in tensors]
        self.channels_last = tensors[0].ndim == 4 and tensors[0].is_contiguous(
            memory_format=torch.channels_last
        )
        result: torch.Tensor = func(*args, **(kwargs or {}))
        return result


def test_the_floor_is_a_time(subject: Subject) -> None:
    call = (torch.nn.functional.linear, (torch.Size((4, 8)), torch.Size((16, 8))), ())
    assert 0 < ceilings._best(call, subject) < 100


def test_power_is_what_the_meter_says_once_it_has_settled() -> None:
    says = "for watts in 50 60 [N/A] 300 310 320; do echo $watts; done; exec sleep 60"
    command = ["/bin/sh", "-c", says]
    frames = iter(range(10**6))

    drawn = power.draw_of(lambda: time.sleep(0.05) or next(frames), command, 1.0)

    assert drawn is not None
    assert drawn["watts"] == 310
    assert drawn["joules_per_frame"] == pytest.approx(310 / next(frames), rel=0.2)


def test_a_meter_that_says_nothing_gives_no_figure() -> None:
    assert power.draw_of(lambda: None, ["/bin/echo", "[N/A]"], 0.1) is None


def test_only_a_gpu_with_its_program_is_metered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setattr(
        torch.cuda, "get_device_properties", lambda device: SimpleNamespace(uuid="7a-1")
    )
    cuda = torch.device("cuda")

    monkeypatch.setenv("PATH", str(tmp_path))
    command = power.meter(cuda)
    assert command is not None
    assert command[:3] == [str(program), "--id=GPU-7a-1", "--query-gpu=power.draw"]
    assert power.meter(CPU) is None
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    assert power.meter(cuda) is None


def test_on_a_gpu_the_last_backend_runs_in_fp8_too(
    subject: Subject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from server import bench_compare

    made: list[tuple[str, str]] = []
    monkeypatch.setattr(
        arms, "restyle",
        lambda subject, backend, cache, say, precision: (
            made.append((backend, precision)) or (print, SimpleNamespace())
        ),
    )  # fmt: skip
    for device, compiled, expected in (
        ("cuda", False, ["eager", "graphs", "graphs fp8"]),
        ("cuda", True, ["eager", "graphs", "compiled", "compiled fp8"]),
        ("cpu", False, ["eager", "openvino"]),
    ):
        wanted = bench_compare.Comparison("mini", None, 1, 1, compiled, None)
        there = replace(subject, device=torch.device(device))
        engines: dict[str, Any] = {}
        every = bench_compare._arms(there, wanted, tmp_path, engines, print)
        ours = [name for name in every if name.startswith("restyle")]
        assert ours == [f"restyle {name}" for name in expected]
        made.clear()
        for name in ours:
            every[name]()
        assert list(engines) == ours
        assert [f"{b}{' fp8' * (p == 'fp8')}" for b, p in made] == expected


def test_plots_are_pictures_of_what_was_measured(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    from server.plots import draw

    found = {"one prompt": {"fps_together": 3.0}}
    figures = {
        "architecture": "mini", "size": "64x64", "steps": 1, "machine": {"device": "cpu"},
        "ms_per_frame": {"restyle eager": {"median": 3.0, "iqr": 1.0}},
        "sessions": {"restyle eager": {"1": found, "2": found}},
        "stages_ms": {"restyle eager": {"encode": 1.0, "unet, 1 rows": 3.0, "unet, 8 rows": 9.0}},
        "floor_ms": {"unet, 1 rows": 2.0, "unet, 8 rows": 7.0},
    }  # fmt: skip
    paths = draw(figures, tmp_path / "plots")
    paths += draw({**figures, "stages_ms": {}, "floor_ms": {}}, tmp_path / "without")
    assert [path.name for path in paths] == 2 * ["frames.png", "sessions.png", "unet.png"]
    for path in paths:
        assert path.read_bytes().startswith(b"\x89PNG")


def test_ratios_say_how_many_times_as_fast_restyle_is() -> None:
    from server.bench_compare import _ratios

    taken = {"restyle eager": [2.0, 2.0, 9.0], "diffusers": [8.0], "streamdiffusion": [3.0]}
    assert _ratios(taken) == {"restyle eager": {"diffusers": 4.0, "streamdiffusion": 1.5}}
