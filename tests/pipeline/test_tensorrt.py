"""What surrounds TensorRT: export, what a plan is good for, what happens without one."""

from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file, save_file

from pipeline.backends import make_networks, tensorrt
from pipeline.backends.onnx_export import export
from pipeline.backends.plans import NETWORKS, Facts, find_or_build, read_facts
from pipeline.backends.tensorrt import examples, find_library
from pipeline.errors import BackendUnavailable
from pipeline.models.folder import open_folder
from pipeline.models.loader import load_denoiser
from tests.pipeline.conftest import Bench, apart

FACTS = Facts("a" * 64, 512, 512, 8, "NVIDIA H100", "9.0", "10.14.1", "2.13.0", "0.42.1")
OTHER = {
    "model": "b" * 64, "width": 256, "height": 256, "max_rows": 4, "gpu": "NVIDIA H200",
    "capability": "8.9", "tensorrt": "10.15.0", "torch": "2.14.0", "diffusers": "0.43.0",
    "format": 99,
}  # fmt: skip
gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")


class Builder:
    """Writes plans that say which build they are of."""

    def __init__(self) -> None:
        self.builds = 0

    def __call__(self, place: Path) -> None:
        self.builds += 1
        for name in NETWORKS:
            (place / f"{name}.plan").write_bytes(f"{name} {self.builds}".encode())


def test_a_plan_is_built_once_for_the_same_facts(tmp_path: Path) -> None:
    build = Builder()

    first, second = (find_or_build(tmp_path, "turbo", FACTS, build, bytes) for _ in range(2))

    assert first == second == {name: f"{name} 1".encode() for name in NETWORKS}
    assert build.builds == 1


@pytest.mark.parametrize("fact", OTHER)
def test_a_plan_of_other_facts_is_rebuilt_never_loaded(tmp_path: Path, fact: str) -> None:
    assert set(OTHER) == set(asdict(FACTS))  # none is left out
    build, other = Builder(), replace(FACTS, **{fact: OTHER[fact]})
    find_or_build(tmp_path, "turbo", FACTS, build, bytes)

    assert find_or_build(tmp_path, "turbo", other, build, bytes)["denoiser"] == b"denoiser 2"

    # even where its folder has the name that the wanted one would have: copied, or by chance
    places = [tmp_path / "tensorrt" / f"turbo-{facts.key}" for facts in (FACTS, other)]
    for file in places[0].iterdir():
        (places[1] / file.name).write_bytes(file.read_bytes())
    assert find_or_build(tmp_path, "turbo", other, build, bytes)["denoiser"] == b"denoiser 3"


@pytest.mark.parametrize(
    "harm",
    [
        lambda place: (place / "denoiser.plan").write_bytes(b"denoiser"),  # cut off
        lambda place: (place / "encoder.plan").unlink(),
        lambda place: (place / "facts.json").unlink(),  # ended while building
        lambda place: (place / "facts.json").write_text("{"),
        lambda place: (place / "facts.json").write_text("[]"),
    ],
    ids=["cut off", "one missing", "not finished", "no JSON", "other JSON"],
)
def test_a_damaged_plan_is_rebuilt(tmp_path: Path, harm: Callable[[Path], object]) -> None:
    build = Builder()
    find_or_build(tmp_path, "turbo", FACTS, build, bytes)

    harm(tmp_path / "tensorrt" / f"turbo-{FACTS.key}")

    assert find_or_build(tmp_path, "turbo", FACTS, build, bytes)["denoiser"] == b"denoiser 2"


def test_an_ended_build_leaves_nothing_that_is_loaded(tmp_path: Path) -> None:
    def fail(place: Path) -> None:
        (place / "encoder.plan").write_bytes(b"half")
        raise RuntimeError("no memory")

    with pytest.raises(RuntimeError, match="no memory"):
        find_or_build(tmp_path, "turbo", FACTS, fail, bytes)

    assert find_or_build(tmp_path, "turbo", FACTS, Builder(), bytes)["encoder"] == b"encoder 1"


def test_a_plan_that_the_library_refuses_is_rebuilt_once(tmp_path: Path) -> None:
    """As after another driver, which no fact tells."""
    build = Builder()
    find_or_build(tmp_path, "turbo", FACTS, build, bytes)

    found = find_or_build(
        tmp_path, "turbo", FACTS, build, lambda plan: None if plan.endswith(b"1") else plan
    )

    assert found == {name: f"{name} 2".encode() for name in NETWORKS}
    with pytest.raises(BackendUnavailable, match="refuses plans that it built just now"):
        find_or_build(tmp_path, "turbo", FACTS, build, lambda plan: None)
    assert build.builds == 3


def test_where_plans_cannot_be_kept_is_told(tmp_path: Path) -> None:
    (tmp_path / "tensorrt").write_text("no folder")
    with pytest.raises(BackendUnavailable, match=r"plans cannot be kept in .*turbo"):
        find_or_build(tmp_path, "turbo", FACTS, Builder(), bytes)


def test_facts_are_of_the_weights_content_not_of_their_place(bench: Bench, tmp_path: Path) -> None:
    import shutil

    copy = Path(shutil.copytree(bench.models["turbo"], tmp_path / "copy"))
    config = bench.config("turbo")
    moved = replace(config, model=str(copy))
    one, same = (read_facts(open_folder(c), c, "H100", (9, 0), "10") for c in (config, moved))
    assert one == same
    assert (one.gpu, one.capability, one.tensorrt) == ("H100", "9.0", "10")

    path = copy / "unet" / "diffusion_pytorch_model.safetensors"
    weights = load_file(path)
    weights["conv_in.bias"][0] += 1
    save_file(weights, path, metadata={"format": "pt"})

    assert read_facts(open_folder(moved), moved, "H100", (9, 0), "10").model != one.model


def test_without_a_gpu_another_backend_takes_over_and_says_so(
    bench: Bench, converted: Path
) -> None:
    said: list[str] = []
    config = bench.config("embedded", backend="tensorrt", cache=converted)

    networks = make_networks(open_folder(config), config, said.append)

    assert networks.name == "openvino"
    assert said[0] == (
        "backend tensorrt needs an NVIDIA GPU: set device cuda on one. "
        "Running with backend openvino instead"
    )


def test_a_build_tells_of_the_steps_of_its_outermost_phases() -> None:
    said: list[str] = []
    monitor = tensorrt._monitor(SimpleNamespace(IProgressMonitor=object), said.append)

    monitor.phase_start("Building", None, 2)
    monitor.phase_start("Timing kernels", "Building", 900)
    assert [monitor.step_complete(phase, 0) for phase in ("Timing kernels", "Building")] == [
        True
    ] * 2
    monitor.phase_finish("Timing kernels")
    assert monitor.step_complete("Building", 1)  # anything else would end the build
    monitor.phase_finish("Building")
    monitor.step_complete("Building", 0)

    assert said == ["TensorRT: Building 1 of 2", "TensorRT: Building 2 of 2"]


def test_without_the_package_the_sentence_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "tensorrt", None)

    with pytest.raises(BackendUnavailable, match=r"pip install 'restyle\[tensorrt\]'"):
        find_library("cuda")


def test_a_package_without_its_libraries_is_as_none(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "tensorrt.py").write_text("import ctypes; ctypes.CDLL('libnvinfer.so.0')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(__import__("sys").modules, "tensorrt", raising=False)

    with pytest.raises(BackendUnavailable, match=r"pip install 'restyle\[tensorrt\]'"):
        find_library("cuda")


def test_export_without_its_package_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "onnx", None)

    with pytest.raises(BackendUnavailable, match="needs the package onnx"):
        export(torch.nn.Identity(), {"x": torch.zeros(1)}, tmp_path / "x.onnx")


def test_what_no_file_can_express_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(
        __import__("sys").modules, "onnx", SimpleNamespace()
    )  # asked for at its end

    class Odd(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.linalg.svdvals(x)

    with pytest.raises(BackendUnavailable, match=r"cannot become an ONNX file: .*svd"):
        export(Odd(), {"x": torch.eye(3)}, tmp_path / "x.onnx")


@pytest.mark.slow
@pytest.mark.parametrize("family", ["turbo", "sdxl", "embedded"])
def test_what_is_exported_computes_the_same_for_any_rows(
    bench: Bench, tmp_path: Path, family: str
) -> None:
    pytest.importorskip("onnx", reason="the extra tensorrt is not installed")
    openvino = pytest.importorskip("openvino", reason="it reads what was exported")
    config = bench.config(family)
    folder = open_folder(config)
    denoiser = load_denoiser(folder, 64, 64)
    core = openvino.Core()
    networks = examples(folder, config, denoiser, torch.device("cpu"))
    generator = torch.Generator().manual_seed(0)

    for name, (network, inputs) in networks.items():
        model = tmp_path / f"{name}.onnx"
        export(network, inputs, model, any_batch=name == "denoiser")
        read = core.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
        for rows in (1, 3) if name == "denoiser" else (1,):
            values = {
                key: torch.randint(0, 255, (rows, *value.shape[1:]), dtype=value.dtype)
                if value.dtype == torch.uint8
                else torch.randn(rows, *value.shape[1:], generator=generator)
                for key, value in inputs.items()
            }
            found = torch.from_numpy(read([v.numpy() for v in values.values()])[0].copy())
            with torch.inference_mode():
                expected = network(*values.values())
            if name == "decoder":
                assert int((found.int() - expected.int()).abs().max()) <= 1
            else:
                assert apart(found, expected) < 1e-5


@pytest.mark.gpu
@gpu
@pytest.mark.timeout(450)  # three plans are built
def test_tensorrt_shows_what_eager_shows(bench: Bench, tmp_path: Path) -> None:
    pytest.importorskip("tensorrt")
    made = {}
    for backend in ("eager", "tensorrt"):
        config = bench.config("turbo", device="cuda", backend=backend, cache=tmp_path)
        made[backend] = make_networks(open_folder(config), config, lambda message: None)
    assert made["tensorrt"].name == "tensorrt"
    images = torch.randint(0, 255, (1, 64, 64, 3), dtype=torch.uint8)
    words = torch.randn(3, 1, *open_folder(config).words_shape, device="cuda")
    rows, times = torch.randn(3, 4, 8, 8, device="cuda"), [999.0, 499.0, 19.0]
    latents, predicted = {}, {}
    for name, networks in made.items():
        latents[name] = networks.encode(images)
        prompts = torch.cat([networks.condition(one) for one in words])
        predicted[name] = networks.denoise(rows, times, prompts)

    assert apart(latents["tensorrt"], latents["eager"]) < 1e-2
    assert apart(predicted["tensorrt"], predicted["eager"]) < 1e-2
    shown = [networks.decode(latents["eager"]).cpu().int() for networks in made.values()]
    assert int((shown[0] - shown[1]).abs().max()) <= 2
