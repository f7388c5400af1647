import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from pipeline.backends import choose_backend, choose_device, inference_threads, make_networks
from pipeline.config import EngineConfig
from pipeline.embedded import WEIGHTS
from pipeline.engine import Engine, build_engine
from pipeline.errors import BackendUnavailable, ConfigError, ModelError
from pipeline.models.folder import open_folder
from pipeline.params import StyleParams
from pipeline.results import Image
from tests.pipeline.conftest import FAMILIES, Bench, alone, drain, picture

PLAIN = StyleParams(prompt="ink", strength=0.6, steps=2, guidance_scale=1.0)
GUIDED = StyleParams(prompt="ink", negative_prompt="oil", strength=0.6, steps=2, guidance_scale=1.5)


def restyle(engine: Engine, params: StyleParams, side: int = 64) -> Image:
    return alone(engine, picture(side=side), params)


def mean_levels_apart(one: Image, other: Image) -> float:
    return float(np.abs(one.astype(float) - other.astype(float)).mean())


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_openvino_shows_what_eager_shows(bench: Bench, converted: Path, family: str) -> None:
    """Within 2 levels on average: a CPU with bf16 keeps 8 bits of a number."""
    engine = build_engine(bench.config(family, backend="openvino", cache=converted))

    assert engine.info.backend == "openvino"
    eager = restyle(bench.engine(family)[0], PLAIN)
    assert mean_levels_apart(restyle(engine, PLAIN), eager) <= 2
    assert mean_levels_apart(picture(), eager) > 4  # it has something to agree on


@pytest.mark.slow
def test_openvino_differs_from_eager_by_rounding_only(
    bench: Bench, converted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In fp32, also with guidance, which multiplies what bf16 rounds off."""
    openvino = pytest.importorskip("openvino")
    compile_model = openvino.Core.compile_model
    monkeypatch.setattr(
        openvino.Core,
        "compile_model",
        lambda core, model, device, settings: compile_model(
            core, model, device, settings | {"INFERENCE_PRECISION_HINT": "f32"}
        ),
    )

    exact = build_engine(bench.config("sd15", backend="openvino", cache=converted))

    eager = restyle(bench.engine("sd15")[0], GUIDED)
    assert mean_levels_apart(restyle(exact, GUIDED), eager) <= 0.5


@pytest.mark.slow
@pytest.mark.skipif(not (WEIGHTS / "unet").exists(), reason="no weights in this checkout")
@pytest.mark.parametrize("side", [128, 384])
def test_openvino_shows_what_eager_shows_with_the_shipped_model(tmp_path: Path, side: int) -> None:
    """Also where self-attention looks at fewer tokens, for the sake of speed."""
    pictures = []
    shutil.copytree(WEIGHTS, tmp_path / "model")

    for backend in ("eager", "openvino"):
        config = EngineConfig(
            model=str(tmp_path / "model"),
            width=side,
            height=side,
            threads=1,
            cache=tmp_path,
            backend=backend,
            device="cpu",
        )
        pictures.append(restyle(build_engine(config), PLAIN, side))

    assert mean_levels_apart(*pictures) <= 2
    assert pictures[0].shape == (side, side, 3)


@pytest.fixture
def small(bench: Bench, converted: Path) -> EngineConfig:
    return bench.config("embedded", backend="openvino", cache=converted)


def build(config: EngineConfig) -> list[str]:
    said: list[str] = []
    make_networks(open_folder(config), config, said.append)
    return said


@pytest.mark.slow
def test_the_second_start_converts_nothing_until_something_changes(
    small: EngineConfig, tmp_path: Path
) -> None:
    model = shutil.copytree(small.model, tmp_path / "model")
    small = replace(small, model=str(model), cache=tmp_path / "cache")
    first, second = build(small), build(small)
    assert any("converting" in message for message in first)
    assert not any("converting" in message for message in second)

    (converted,) = (small.cache / "openvino").iterdir()
    os.utime(converted, (0, 0))  # for another version long ago, once something has changed
    weights = model / "unet" / "diffusion_pytorch_model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    assert any("converting" in message for message in build(small))
    assert not converted.exists()

    config = model / "vae" / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"scaling_factor": 0.5}))
    assert any("converting" in message for message in build(small))


@pytest.mark.slow
def test_the_second_start_imports_no_diffusers_and_no_telemetry(small: EngineConfig) -> None:
    build(small)
    program = (
        "import sys\n"
        "from pathlib import Path\n"
        "from pipeline.config import EngineConfig\n"
        "from pipeline.engine import build_engine\n"
        "build_engine(EngineConfig(model=sys.argv[1], width=64, height=64, backend='openvino',"
        " device='cpu', threads=1, cache=Path(sys.argv[2])))\n"
        "print([n for n in ('diffusers', 'transformers', 'openvino_telemetry')"
        " if sys.modules.get(n)])\n"
    )

    ran = subprocess.run(
        [sys.executable, "-c", program, small.model, str(small.cache)],
        capture_output=True, text=True, check=True, timeout=100,
    )  # fmt: skip

    assert ran.stdout.strip() == "[]"


@pytest.mark.slow
def test_a_conversion_does_not_load_the_telemetry(small: EngineConfig) -> None:
    build(small)

    assert sys.modules["openvino_telemetry"] is None


@pytest.mark.slow
def test_a_cache_that_cannot_be_written_to_is_named_with_what_to_do(
    small: EngineConfig, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ModelError, match=r"file/openvino/.*XDG_CACHE_HOME"):
        build(replace(small, cache=tmp_path / "file"))


def test_a_cache_on_a_full_disk_is_told_and_no_half_of_a_file_is_left(
    small: EngineConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import openvino

    def full(model: object, path: Path, **_: object) -> None:
        path.with_suffix(".bin").touch()
        raise RuntimeError("basic_ios::clear: iostream error")  # as OpenVINO 2026 says it

    monkeypatch.setattr(openvino, "save_model", full)
    with pytest.raises(ModelError, match="is the disk full"):
        build(replace(small, cache=tmp_path))
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_openvino_gives_results_that_later_frames_do_not_overwrite(small: EngineConfig) -> None:
    engine = build_engine(small)
    engine.open("ann")
    images = []
    for number in range(2):
        engine.submit("ann", number, picture(number), PLAIN)
        images += [result.image for result in drain(engine)]
        if number == 0:
            kept = images[0].copy()

    assert np.array_equal(images[0], kept)
    assert not np.array_equal(*images)


@pytest.mark.slow
def test_rows_side_by_side_are_those_one_after_another(small: EngineConfig) -> None:
    config = replace(small, threads=2, parallel_rows=2)
    networks = [make_networks(open_folder(c), c, lambda _: None) for c in (small, config)]
    images = torch.from_numpy(np.stack([picture(number) for number in range(3)]))

    latents = [each.encode(images) for each in networks]
    assert torch.equal(*latents)
    pictures = [each.decode(latents[0]) for each in networks]
    assert torch.equal(*pictures)
    assert [each.batches for each in networks] == [False, True]


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_cuda_without_a_gpu_is_refused_with_what_to_do() -> None:
    for backend in ("auto", "eager", "openvino"):
        config = EngineConfig(device="cuda", backend=backend)
        with pytest.raises(BackendUnavailable, match="no NVIDIA GPU; use cpu or auto"):
            choose_backend(config)


def test_openvino_on_a_gpu_is_refused_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)

    for device in ("cuda", "auto"):
        config = EngineConfig(device=device, backend="openvino")
        with pytest.raises(BackendUnavailable, match="openvino runs on the CPU: set device cpu"):
            choose_backend(config)


@pytest.mark.parametrize(
    ("gpu", "device", "backend"), [(True, "cuda", "eager"), (False, "cpu", "openvino")]
)
def test_auto_takes_what_fits_the_machine(
    monkeypatch: pytest.MonkeyPatch, gpu: bool, device: str, backend: str
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)

    assert choose_device(EngineConfig()) == device
    assert choose_backend(EngineConfig()) == backend


@pytest.mark.parametrize(("cores", "threads"), [(1, 1), (2, 1), (16, 15)])
def test_one_core_is_left_to_the_rest(
    monkeypatch: pytest.MonkeyPatch, cores: int, threads: int
) -> None:
    monkeypatch.setattr("pipeline.backends.available_cores", lambda: cores)

    assert inference_threads(EngineConfig()) == threads
    assert inference_threads(EngineConfig(threads=3)) == 3


def test_more_rows_side_by_side_than_a_call_has_are_refused() -> None:
    with pytest.raises(ConfigError, match="parallel_rows 9: give 1 to max_rows, 8"):
        EngineConfig(parallel_rows=9)


@pytest.mark.parametrize("side", [0, 56, 250, 2056])
def test_a_size_that_no_engine_has_is_refused(side: int) -> None:
    with pytest.raises(ConfigError, match=f"height {side}: give a multiple of 8"):
        EngineConfig(height=side)
