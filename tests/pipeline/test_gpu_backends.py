"""Compiled programs and CUDA graphs show what eager PyTorch shows."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import UNet2DConditionModel

from pipeline.backends import choose_backend
from pipeline.backends.buckets import bucket, buckets, fill_up
from pipeline.backends.transfer import Download, Upload
from pipeline.config import EngineConfig
from pipeline.engine import build_engine
from pipeline.errors import BackendUnavailable, ConfigError
from pipeline.params import StyleParams
from tests.pipeline.conftest import Bench, alone, levels_apart, picture

gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")


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


@pytest.mark.parametrize(
    "device",
    ["cpu", pytest.param("cuda", marks=[pytest.mark.gpu, gpu])],
)
def test_what_is_sent_and_fetched_is_a_copy_that_lasts(device: str) -> None:
    there = torch.zeros(1, 4, dtype=torch.uint8, device=device)
    upload = Upload((1, 4), torch.uint8, there.device)
    download = Download((1, 4), torch.uint8, there.device)
    fetched = []
    for level in (3, 7):
        upload.send(torch.full((1, 4), level, dtype=torch.uint8), there)
        fetched.append(download.wait_sync(there))
    assert [values.tolist() for values in fetched] == [[[3] * 4], [[7] * 4]]


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
from pipeline.backends import make_networks
from pipeline.config import EngineConfig
from pipeline.models.folder import open_folder
from torch._dynamo.utils import counters

model, device, backend = sys.argv[1:]
if device == "cpu":
    # traced into the same static programs, run without a C++ compiler: that takes minutes here
    from pipeline.backends import compiled as module
    module._compile = lambda network, mode: torch.compile(
        network, backend="aot_eager", dynamic=False)
said, made = [], {}
for name in ("eager", backend):
    config = EngineConfig(model=model, width=64, height=64, device=device, backend=name,
                          threads=1, max_rows=3)
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

found = {"name": made[backend].name, "said": said, "unet": []}
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


def compare(model: Path, device: str, backend: str) -> dict[str, Any]:
    """Compare with eager in a process of its own: the shape checks of tests do not compile."""
    ran = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", COMPARE, str(model), device, backend],
        capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr[-2000:]
    found: dict[str, Any] = json.loads(ran.stdout.splitlines()[-1])
    assert found["name"] == backend
    assert found["lasts"]
    assert found["new_programs"] == 0  # nothing compiles while people watch
    return found


@pytest.mark.long
@pytest.mark.slow
def test_compiled_programs_differ_from_eager_by_rounding_only(
    models: dict[str, Path], tmp_path: Path
) -> None:
    """One level, traced but not compiled to machine code: only a GPU test does that."""
    model = Path(shutil.copytree(models["embedded"], tmp_path / "small"))
    UNet2DConditionModel(
        sample_size=8, in_channels=4, out_channels=4, block_out_channels=(16,),
        down_block_types=("CrossAttnDownBlock2D",), up_block_types=("UpBlock2D",),
        mid_block_type=None, layers_per_block=1, attention_head_dim=4, norm_num_groups=8,
        cross_attention_dim=24,
    ).save_pretrained(model / "unet")  # fmt: skip

    found = compare(model, "cpu", "compiled")

    assert [line for line in found["said"] if "rows" in line] == [
        f"compiling the UNet of small for {size} rows" for size in (4, 2, 1)
    ]
    assert max(found["unet"]) < 1e-4
    assert found["encoder"] < 1e-4
    assert found["levels"] <= 1


@pytest.mark.gpu
@gpu
@pytest.mark.parametrize("backend", ["graphs", "compiled"])
def test_a_gpu_backend_differs_from_eager_by_rounding_only(
    models: dict[str, Path], backend: str
) -> None:
    found = compare(models["turbo"], "cuda", backend)

    assert max(*found["unet"], found["encoder"]) < 1e-2
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
