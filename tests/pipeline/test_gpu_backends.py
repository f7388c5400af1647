"""Compiled programs and CUDA graphs show what eager PyTorch shows."""

import gc
import json
import shutil
import subprocess
import sys
import weakref
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from pipeline.backends import choose_backend, compiled, make_networks
from pipeline.backends.buckets import DTYPES, autoencoder_dtype, bucket, buckets, fill_up
from pipeline.backends.compiled import CompiledNetworks
from pipeline.backends.eager import EagerNetworks
from pipeline.backends.graphs import Graph
from pipeline.backends.transfer import Download, Upload, send
from pipeline.config import EngineConfig
from pipeline.engine import Engine, build_engine
from pipeline.errors import BackendUnavailable, ConfigError
from pipeline.models.folder import open_folder
from pipeline.params import StyleParams
from pipeline.results import EngineResult, Image
from tests.pipeline.conftest import (
    TEXT,
    Bench,
    alone,
    apart,
    drain,
    levels_apart,
    picture,
    write_small_unet,
)
from tests.pipeline.fake_cuda import FakeStream, stand_in

gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
DEVICES = ("cpu", pytest.param("cuda", marks=[pytest.mark.gpu, gpu]))
# on a CPU eager against itself: what the test does is tried out wherever it runs
BACKENDS = (
    ("cpu", "eager"),
    pytest.param("cuda", "eager", marks=[pytest.mark.gpu, gpu]),
    pytest.param("cuda", "graphs", marks=[pytest.mark.gpu, gpu]),
)


def test_every_count_of_rows_has_a_bucket_that_was_made() -> None:
    for most in range(1, 33):
        made = buckets(most)
        assert made == sorted(made, reverse=True)
        assert {bucket(rows) for rows in range(1, max(most, 2) + 1)} == set(made)
        assert all(bucket(rows) >= rows for rows in range(1, most + 1))
    assert buckets(8) == [8, 4, 2, 1]


def test_filling_up_keeps_the_rows_and_adds_zeros() -> None:
    rows = torch.randn(3, 2, 2)
    filled = fill_up(rows, 4)
    assert torch.equal(filled[:3], rows)
    assert not filled[3].any()
    assert torch.equal(fill_up(rows, 3), rows)


def test_what_a_batch_is_filled_up_with_changes_nothing(bench: Bench) -> None:
    """T1b.3: for every count of rows, with zeros as with anything."""
    networks = EagerNetworks(open_folder(bench.config("sd15")), bench.config("sd15"), print)
    generator = torch.Generator().manual_seed(0)
    rows = torch.randn(9, 4, 8, 8, generator=generator)
    prompts = networks.condition(torch.randn(1, 16, TEXT, generator=generator))
    times = [99.0, 699.0, 999.0, 19.0, 499.0, 299.0, 859.0, 599.0, 399.0]
    for count in range(1, 10):
        size = bucket(count)
        alone = networks.denoise(rows[:count], times[:count], prompts.expand(count, -1, -1))
        filled = fill_up(rows[:count], size)
        for filling in (torch.zeros(()), 100 * torch.randn(size - count, 4, 8, 8)):
            filled[count:] = filling
            timesteps = [*times[:count], *[0.0] * (size - count)]
            together = networks.denoise(filled, timesteps, prompts.expand(size, -1, -1))
            assert apart(together[:count], alone) < 1e-4, count


def test_filling_up_gives_one_layout_and_one_kind_whatever_comes() -> None:
    with torch.inference_mode():
        made_inside = torch.randn(2, 3, 4, 4)
    plain = torch.randn(2, 3, 4, 4)
    for rows in (plain, plain.to(memory_format=torch.channels_last), made_inside):
        with torch.inference_mode():
            filled = fill_up(rows, 2)
        assert filled.is_inference()
        assert filled.stride() == plain.stride()
        assert torch.equal(filled, rows)


@pytest.mark.parametrize("device", DEVICES)
def test_what_is_sent_and_fetched_is_a_copy_that_lasts(device: str) -> None:
    upload = Upload((3, 4), torch.uint8, torch.device(device))
    download = Download((3, 4), torch.uint8, torch.device(device))
    fetched = []
    for rows, level in ((1, 3), (3, 7), (2, 5)):
        there = list(upload.rows(torch.full((rows, 4), level, dtype=torch.uint8)))
        assert {each.device.type for each in there} == {device}
        fetched.append(download.wait_sync(iter(there)))
    assert [values.tolist() for values in fetched] == [[[3] * 4], [[7] * 4] * 3, [[5] * 4] * 2]


@pytest.mark.parametrize("device", DEVICES)
def test_what_is_sent_without_a_buffer_is_a_copy_or_the_same(device: str) -> None:
    values = torch.randn(3, 5)
    sent = [send(values + number, torch.device(device)) for number in range(20)]

    assert {each.device.type for each in sent} == {device}
    for number, each in enumerate(sent):
        assert torch.equal(each.cpu(), values + number)


@pytest.mark.parametrize("device", DEVICES)
def test_large_pictures_arrive_whole_behind_work_that_is_queued(device: str) -> None:
    shape = (2, 4 << 20)  # bytes: the copies are under way for long
    values = torch.arange(shape[0] * shape[1], dtype=torch.int32).to(torch.uint8).view(shape)
    upload = Upload(shape, torch.uint8, torch.device(device))
    download = Download(shape, torch.uint8, torch.device(device))
    work = torch.rand(1024, 1024, device=device) / 1024

    def read(row: Tensor) -> Tensor:
        nonlocal work
        for _ in range(300 if device == "cuda" else 1):
            work = work @ work
        return row + 1

    found = [[read(row) for row in upload.rows(values + number)] for number in range(5)]

    for number in (4, 0, 3, 1, 2):
        expected = values + number + 1
        assert torch.equal(download.wait_sync(found[number]), expected), number
        again = (read(row) - 1 for row in found[number])  # fetched while the next is made
        assert torch.equal(download.wait_sync(again), expected)


@pytest.mark.parametrize(
    ("family", "says", "device", "bf16", "expected"),
    [
        ("sdxl", {}, "cuda", True, torch.bfloat16),
        ("sdxl", {}, "cuda", False, torch.float32),
        ("sdxl", {"force_upcast": False}, "cuda", True, torch.float16),
        ("sdxl", {}, "cpu", True, torch.float32),
        ("turbo", {}, "cuda", True, torch.float16),
        ("sd15", {}, "cuda", True, torch.float16),
        ("embedded", {}, "cuda", True, torch.float16),
    ],
)
def test_an_autoencoder_that_overflows_in_half_precision_gets_a_wider_range(
    models: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, family: str,
    says: dict[str, bool], device: str, bf16: bool, expected: torch.dtype,
) -> None:  # fmt: skip
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: bf16)
    path = Path(shutil.copytree(models[family], tmp_path / "model"))
    config = path / "vae" / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | says))
    folder = open_folder(EngineConfig(model=str(path)))

    assert autoencoder_dtype(folder, torch.device(device)) == expected
    wide = expected if expected != torch.bfloat16 else torch.float32
    assert autoencoder_dtype(folder, torch.device(device), bfloat16=False) == wide


def test_a_backend_gives_such_an_autoencoder_a_precision_of_its_own(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(DTYPES, "cpu", torch.float16)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: True)
    config = bench.config("sdxl")

    networks = EagerNetworks(open_folder(config), config, lambda message: None)

    halves = (networks._encoder, networks._decoder)
    assert {p.dtype for half in halves for p in half.parameters()} == {torch.bfloat16}
    assert {p.dtype for p in networks._denoiser.parameters()} == {torch.float16}
    latents = networks.encode(torch.from_numpy(picture())[None])
    assert latents.dtype == torch.float32
    assert networks.decode(latents).shape == (1, 64, 64, 3)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_a_graph_keeps_the_weights_that_it_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(monkeypatch)
    monkeypatch.setattr(torch.cuda, "graph", lambda graph, pool, stream: nullcontext())
    network = torch.nn.Linear(2, 2)
    weights = weakref.ref(network.weight)

    with torch.inference_mode():
        graph = Graph(network, (torch.zeros(1, 2),), FakeStream(), [])
    del network
    gc.collect()

    assert weights() is not None
    assert graph.inputs


def test_graphs_without_a_gpu_are_refused_with_what_to_do() -> None:
    with pytest.raises(BackendUnavailable, match="graphs needs an NVIDIA GPU"):
        choose_backend(EngineConfig(device="cpu", backend="graphs"))


@pytest.mark.parametrize("rows", [0, 65])
def test_a_number_of_rows_that_no_call_has_is_refused(rows: int) -> None:
    with pytest.raises(ConfigError, match=f"max_rows {rows}: give 1 to 64"):
        EngineConfig(max_rows=rows)


COMPARE = """
import json, sys, torch
from pathlib import Path
from pipeline import backends
from pipeline.backends import float8, float8_layers, make_networks
from pipeline.config import EngineConfig
from pipeline.models.folder import open_folder
from torch._dynamo.utils import counters

model, device, backend, precision = sys.argv[1:]
# all layers, convolutions included, however narrow, and whatever it does to random weights
float8.LIMIT, float8_layers.pays = 9.0, lambda layer: True
if device == "cpu":
    backends.check_precision = lambda config, device: None
    # traced into the same static programs, run without a C++ compiler: that takes minutes here
    from pipeline.backends import compiled as module
    module._compile = lambda network, mode: torch.compile(
        network, backend="aot_eager", dynamic=False)
said, made = [], {}
for name in ("eager", backend):
    config = EngineConfig(model=model, width=64, height=64, device=device, backend=name,
                          threads=1, max_rows=3, compile_mode="reduce-overhead",
                          precision=precision)
    made[name] = make_networks(open_folder(config), config, said.append)
compiled = counters["stats"]["unique_graphs"]

words = open_folder(config).words_shape

def apart(one, other):
    return float((one - other).norm() / other.norm())

def inputs(rows):
    generator = torch.Generator().manual_seed(rows)
    device = made["eager"].device
    texts = torch.randn(rows, 1, *words, generator=generator).to(device)
    return (torch.randn(rows, 4, 8, 8, generator=generator).to(device),
            [100.0 + 200 * row for row in range(rows)], texts)

def denoise(networks, latents, timesteps, texts):
    return networks.denoise(latents, timesteps, torch.cat([networks.condition(t) for t in texts]))

found = {"name": made[backend].name, "said": said, "unet": [],
         "precision": made[backend].precision}
results = []
for rows in (3, 1, 2, 3):
    results.append(denoise(made[backend], *inputs(rows)))
    found["unet"].append(apart(results[-1], denoise(made["eager"], *inputs(rows))))
found["lasts"] = torch.equal(results[0], results[-1])  # no other call wrote over it
image = torch.randint(0, 255, (2, 64, 64, 3), dtype=torch.uint8)
latents = made[backend].encode(image)
found["encoder"] = apart(latents, made["eager"].encode(image))
one, other = (made[name].decode(latents).cpu().int() for name in (backend, "eager"))
found["levels"] = int((one - other).abs().max())
found["new_programs"] = counters["stats"]["unique_graphs"] - compiled
print(json.dumps(found))
"""


def compare(
    model: Path, device: str, backend: str, precision: str = "auto", seconds: float = 100
) -> dict[str, Any]:
    """Compare with eager in a process of its own: the shape checks of tests do not compile."""
    ran = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", COMPARE, str(model), device, backend, precision],
        capture_output=True, text=True, timeout=seconds, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr[-2000:]
    found: dict[str, Any] = json.loads(ran.stdout.splitlines()[-1])
    assert found["name"] == backend
    assert found["lasts"]
    assert ("fp8 in " in found["precision"]) == (precision == "fp8")
    assert found["new_programs"] == 0  # nothing compiles while people watch
    return found


def test_every_batch_size_may_have_a_program_of_its_own(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """torch.compile makes eight at most by itself, and runs eagerly from then on."""
    import torch._dynamo.config as dynamo

    monkeypatch.setattr(compiled, "_compile", lambda network, mode: network)
    config = bench.config("turbo", backend="compiled", max_rows=64)
    assert len(buckets(64)) > 8

    with dynamo.patch(recompile_limit=8):  # pytest's own patch would take it away in the end
        CompiledNetworks(open_folder(config), config, lambda message: None)

        assert dynamo.recompile_limit > len(buckets(64))


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.parametrize(("precision", "limit"), [("auto", 1e-4), ("fp8", 1e-2)])
def test_compiled_programs_differ_from_eager_by_rounding_only(
    models: dict[str, Path], tmp_path: Path, precision: str, limit: float
) -> None:
    """One level, traced but not compiled to machine code: only a GPU test does that."""
    model = Path(shutil.copytree(models["embedded"], tmp_path / "small"))
    write_small_unet(model)

    found = compare(model, "cpu", "compiled", precision)

    assert [line for line in found["said"] if "rows" in line] == [
        f"compiling the UNet of small for {size} rows" for size in (4, 2, 1)
    ]
    assert max(found["unet"]) < limit  # of eight bits a rounding may fall to the other side
    assert found["encoder"] < 1e-4
    assert found["levels"] <= 1


@pytest.mark.gpu
@gpu
@pytest.mark.timeout(450)  # kernels are made for five programs
@pytest.mark.parametrize("backend", ["graphs", "compiled"])
@pytest.mark.parametrize(("precision", "limit"), [("auto", 1e-2), ("fp8", 1e-1)])
def test_a_gpu_backend_differs_from_eager_by_rounding_only(
    models: dict[str, Path], backend: str, precision: str, limit: float
) -> None:
    if precision == "fp8" and torch.cuda.get_device_capability() < (8, 9):
        pytest.skip("no GPU that multiplies fp8")

    found = compare(models["turbo"], "cuda", backend, precision, 400)

    assert max(found["unet"]) < limit  # of eight bits some fall to the other side: each 6 %
    assert found["encoder"] < 1e-2
    assert found["levels"] <= 2


@pytest.mark.gpu
@gpu
def test_graphs_show_frames_as_eager_does(bench: Bench) -> None:
    engines = [
        build_engine(bench.config("sd15", device="cuda", backend=name))
        for name in ("graphs", "eager")
    ]
    style = StyleParams(prompt="ink", strength=0.6, steps=2, guidance_scale=1.0)
    one, other = (alone(engine, picture(), style) for engine in engines)
    assert levels_apart(one, other) <= 4


@pytest.mark.gpu
@gpu
def test_many_pictures_of_one_call_go_through_graphs_unmixed(bench: Bench) -> None:
    """Copies have streams of their own: each picture is the one that it is alone."""
    config = bench.config("turbo", device="cuda", backend="graphs", max_rows=8)
    networks = make_networks(open_folder(config), config, print)
    pictures = torch.from_numpy(np.stack([picture(number) for number in range(8)]))

    for count in (8, 1, 5, 8):
        given = pictures[-count:]
        shown = networks.decode(networks.encode(given))
        for number in range(count):
            lone = networks.decode(networks.encode(given[number : number + 1]))[0]
            assert levels_apart(shown[number].numpy(), lone.numpy()) <= 1, (count, number)


def live(engine: Engine, steps: int = 2) -> list[EngineResult]:
    """Five frames of two people with all that looks back on; one changes the prompt on the way."""
    style = StyleParams(
        prompt="ink", negative_prompt="oil", strength=0.6, steps=steps, guidance_scale=1.4,
        noise="warped", deflicker=0.6, travel=0.1,
    )  # fmt: skip
    results: list[EngineResult] = []
    for session in ("ann", "ben"):
        engine.open(session)
    for number in range(5):
        for seed, session in enumerate(("ann", "ben")):
            image = np.roll(picture(seed), 2 * number, 1)
            changed = session == "ann" and number > 1
            given = replace(style, prompt="night" if changed else "ink")
            engine.submit(session, number, image, given, arrived=number / 30)
        results += drain(engine)
    return sorted(results, key=lambda result: (result.session, result.number))


@pytest.mark.parametrize("bank", [{}, {"feature_bank": 3, "feature_anchor": True}], ids=str)
@pytest.mark.parametrize(("device", "backend"), BACKENDS)
def test_what_looks_back_shows_the_same_on_every_backend(
    bench: Bench, device: str, backend: str, bank: dict[str, object]
) -> None:
    engines = [
        build_engine(bench.config("sd15", device=device, backend=name, **bank))
        for name in (backend, "eager")
    ]

    one, other = (live(engine) for engine in engines)

    assert [r.number for r in one] == [r.number for r in other] == [*range(5), *range(5)]
    apart = [mean_levels_apart(a.image, b.image) for a, b in zip(one, other, strict=True)]
    assert max(apart) <= (0 if device == "cpu" else 1)
    assert mean_levels_apart(one[2].image, one[4].image) > 1  # there is something to agree on
    assert mean_levels_apart(one[4].image, one[9].image) > 1


@pytest.mark.parametrize(("device", "backend"), BACKENDS)
def test_sdxl_shows_on_a_device_what_eager_shows_on_the_cpu(
    bench: Bench, device: str, backend: str
) -> None:
    engine = build_engine(bench.config("sdxl", device=device, backend=backend))
    style = StyleParams(prompt="ink", strength=0.6, steps=2, guidance_scale=1.0, deflicker=0.0)

    shown = alone(engine, picture(), style)

    expected = alone(bench.engine("sdxl")[0], picture(), style)
    assert mean_levels_apart(shown, expected) <= (0 if device == "cpu" else 2)
    assert mean_levels_apart(shown, np.zeros_like(shown)) > 4  # not black


def mean_levels_apart(one: Image, other: Image) -> float:
    return float(np.abs(one.astype(float) - other.astype(float)).mean())
