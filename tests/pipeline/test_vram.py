"""Memory is known before the load: weights to the byte, the rest on the high side."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile

from pipeline.backends import float8
from pipeline.backends.eager import EagerNetworks
from pipeline.backends.graphs import GraphNetworks
from pipeline.config import EngineConfig
from pipeline.engine import build_engine
from pipeline.errors import ConfigError
from pipeline.feature_bank import Row
from pipeline.models import vram
from pipeline.models.bank_memory import bank_in_calls, session_bank
from pipeline.models.folder import open_folder
from pipeline.models.loader import load_autoencoder, load_denoiser
from pipeline.models.static_text import StaticTextEncoder
from pipeline.params import StyleParams
from tests.pipeline.conftest import FAMILIES, Bench, picture
from tests.pipeline.fake_cuda import stand_in

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


def bytes_of(network: nn.Module) -> int:
    return sum(p.numel() * p.element_size() for p in network.parameters())


@pytest.mark.parametrize("family", FAMILIES)
def test_weights_are_counted_to_the_byte(bench: Bench, family: str) -> None:
    config = bench.config(family)
    folder = open_folder(config)

    weights = vram.estimate(folder, config, CPU).weights

    unet = load_denoiser(folder, 64, 64)
    encoder, _ = load_autoencoder(folder)
    assert weights["unet"] == bytes_of(unet)
    assert weights["vae"] == bytes_of(encoder.autoencoder)
    assert vram.estimate(folder, config, CUDA).weights["unet"] == bytes_of(unet.half())


@pytest.mark.parametrize("family", FAMILIES)
def test_weights_in_fp8_are_counted_to_the_byte(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, family: str
) -> None:
    monkeypatch.setattr(float8, "LIMIT", 9.0)  # whatever it does to these weights: all go there
    config = bench.config(family, precision="fp8")
    folder = open_folder(config)
    denoiser = load_denoiser(folder, 64, 64, fuse=False)
    before = bytes_of(denoiser)

    float8.settle_precision(denoiser, folder, config, lambda message: None)

    scales = sum(b.nbytes for b in denoiser.unet.buffers())  # what fp8 has is no parameter
    memory = vram.estimate(folder, config, CPU)
    assert memory.weights["unet"] == bytes_of(denoiser) + scales < before
    # both are there while it is tried, so a GPU without that room is refused
    most = before + scales
    assert sum(memory.weights.values()) - memory.weights["unet"] + most < memory.engine


def test_text_encoders_are_counted_to_the_byte(bench: Bench, models: dict[str, Path]) -> None:
    import transformers

    config = bench.config("sdxl")
    weights = vram.estimate(open_folder(config), config, CUDA).weights
    for part, kind in (("text_encoder", "CLIPTextModel"),
                       ("text_encoder_2", "CLIPTextModelWithProjection")):  # fmt: skip
        network = getattr(transformers, kind).from_pretrained(models["sdxl"] / part)
        assert weights[part] == bytes_of(network)

    config = bench.config("embedded")
    folder = open_folder(config)
    static = StaticTextEncoder.from_pretrained(folder.text.folder)
    counted = vram.estimate(folder, config, CPU).weights["text_encoder"]
    assert counted == sum(v.numel() * 4 for v in static.state_dict().values())
    assert "text_encoder" not in vram.estimate(folder, config, CUDA).weights


def peak(networks: EagerNetworks, rows: int, in_channels: int, words: tuple[int, int]) -> int:
    """Bytes that live at once in the dearest of the three calls, as PyTorch's allocator saw it."""
    noisy, at = torch.randn(rows, in_channels, 8, 8), [500.0] * rows
    text = networks.condition(torch.randn(1, *words))
    calls = (
        lambda: networks.denoise(noisy, at, torch.cat([text] * rows)),
        lambda: networks.encode(torch.from_numpy(picture())[None]),
        lambda: networks.decode(torch.randn(1, 4, 8, 8)),
    )
    return max(map(peak_of, calls))


def peak_of(call: Callable[[], object]) -> int:
    """Bytes that live at once in a call."""
    call()
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        call()
    events = [e for e in profiler.profiler.kineto_results.events() if e.name() == "[memory]"]
    live = most = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        live += event.nbytes()
        most = max(most, live)
    return most


@pytest.mark.parametrize("family", ["sd15", "turbo", "sdxl"])
def test_activations_are_estimated_above_what_is_allocated(bench: Bench, family: str) -> None:
    config = bench.config(family, max_rows=4)
    folder = open_folder(config)
    bench.engine(family)

    real = peak(bench._loaded[family], 4, folder.unet.config["in_channels"], folder.words_shape)

    estimated = vram.estimate(folder, config, CPU).activations
    assert real <= estimated <= 3 * real


@pytest.mark.parametrize("fusion", [0.0, 0.75])
@pytest.mark.parametrize(
    ("family", "frames"),
    [
        *((family, {"feature_bank": 3}) for family in ("sd15", "sdxl", "embedded")),
        ("sd15", {"feature_bank": 1, "feature_merge": 1}),
    ],
    ids=str,
)
def test_a_bank_keeps_to_the_byte_what_is_counted_and_no_call_of_it_takes_more(
    bench: Bench, family: str, frames: dict[str, int], fusion: float
) -> None:
    config = bench.config(family, max_rows=4, feature_anchor=True, feature_fusion=fusion, **frames)
    folder = open_folder(config)
    networks = EagerNetworks(folder, config, lambda message: None)
    assert networks.bank is not None

    with networks.bank.rows([Row(name, 0, 0, "ink") for name in "abc"] * 2):  # two turns
        shape = 6, folder.unet.config["in_channels"], 8, 8
        text = networks.condition(torch.randn(1, *folder.words_shape))
        networks.denoise(torch.randn(shape), [500.0] * 6, torch.cat([text] * 6))
    assert networks.bank.size == 4 * 3 * session_bank(folder, config, 1) / 2  # no row is guided

    with networks.bank.rows([Row(name, 0, 0, "ink") for name in "abcd"]):  # one is empty
        real = peak(networks, 4, shape[1], folder.words_shape)
    estimated = vram.estimate(folder, config, CPU)
    assert real <= estimated.activations <= 3 * real
    without = vram.estimate(folder, bench.config(family, max_rows=4), CPU)
    kept = estimated.session - without.session
    assert kept == 4 * session_bank(folder, config, 8)  # of every step that may be


@pytest.mark.parametrize("fusion", [0.0, 0.75])
def test_merging_takes_no_more_than_is_counted(bench: Bench, fusion: float) -> None:
    config = bench.config("sd15", feature_bank=1, feature_merge=1, feature_fusion=fusion)
    folder = open_folder(config)
    networks = EagerNetworks(folder, config, lambda message: None)
    assert networks.bank is not None
    text = networks.condition(torch.randn(1, *folder.words_shape))
    networks.denoise(torch.randn(1, folder.unet.config["in_channels"], 8, 8), [500.0], text)
    merging = networks.bank.merging
    assert merging is not None
    frame = torch.randn(session_bank(folder, config, 1) // 2)

    real = peak_of(lambda: merging.merge(frame.clone(), frame, (0,)))

    unmerged = replace(config, feature_merge=0)
    counted = bank_in_calls(folder, config, False) - bank_in_calls(folder, unmerged, False)
    assert real - frame.nbytes <= 4 * counted <= 4 * (real - frame.nbytes)


def held(value: object, seen: set[int]) -> int:
    """Bytes of all tensors that an object leads to."""
    if id(value) in seen:
        return 0
    seen.add(id(value))
    if isinstance(value, Tensor):
        storage = value.untyped_storage()
        new = storage.data_ptr() not in seen
        seen.add(storage.data_ptr())
        return storage.nbytes() if new else 0
    if isinstance(value, dict):
        return sum(held(item, seen) for item in value.values())
    if isinstance(value, list | tuple):
        return sum(held(item, seen) for item in value)
    names = [*getattr(value, "__dict__", {}), *getattr(type(value), "__slots__", ())]
    return sum(held(getattr(value, name), seen) for name in names)


def test_a_session_keeps_no_more_than_is_counted(bench: Bench) -> None:
    engine, _ = bench.engine("sd15")
    engine.open("ann")
    style = StyleParams(
        prompt="ink", negative_prompt="oil", noise="warped", noise_warp=0.5, deflicker=0.5,
        steps=8, strength=1.0, seed=1, blend_seed=2, seed_blend=0.5, travel=9.0,
    )  # fmt: skip
    for number in range(2):
        engine.submit("ann", number, picture(number), style)
        for slot in engine._slots:
            engine.begin(slot.networks, [slot])
        shared = ("state", "networks")  # counted elsewhere
        slots = [
            getattr(slot, name) for slot in engine._slots for name in slot.__slots__
            if name not in shared
        ]  # fmt: skip
        kept = held(engine._sessions["ann"], set()) + held(slots, set())
        while engine.in_flight:
            engine.tick()

    config = bench.config("sd15")
    counted = vram.estimate(open_folder(config), config, CPU).session
    assert kept <= counted <= 3 * kept


def test_an_engine_that_does_not_fit_is_refused_before_anything_loads(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = bench.config("sd15")
    monkeypatch.setattr("pipeline.engine.make_networks", lambda *_: pytest.fail("loaded"))
    needed = vram.estimate(open_folder(config), config, CPU).engine

    with pytest.raises(ConfigError) as caught:
        build_engine(config, free=lambda device: needed - 1)

    sentence = str(caught.value)
    assert sentence.count(vram.gigabytes(needed)) >= 1
    assert f"{vram.gigabytes(needed - 1)} free" in sentence
    assert "choose a smaller width and height" in sentence


def test_what_an_engine_takes_is_said_before_it_loads(bench: Bench) -> None:
    config, said = bench.config("sd15"), []
    memory = vram.estimate(open_folder(config), config, CPU)

    build_engine(config, said.append, free=lambda device: 10 * memory.engine)

    assert said[0] == (
        f"taking about {vram.gigabytes(memory.engine)} of {vram.gigabytes(10 * memory.engine)} "
        f"free on cpu, {vram.gigabytes(memory.session)} more for each further session"
    )
    assert said[1] == "loading sd15"


def test_prompts_of_every_batch_size_are_counted_where_each_has_its_own(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With SDXL a prompt is 26 MB, and a graph keeps one for each row."""
    stand_in(monkeypatch)
    config = bench.config("sdxl", max_rows=8, backend="graphs")
    folder = open_folder(config)
    networks = GraphNetworks(folder, config, lambda message: None)
    inputs = [graph.inputs[2].nbytes for graph in networks._denoisers.values()]

    plain, graphs = (
        vram.estimate(folder, replace(config, backend=backend), CPU).activations
        for backend in ("eager", "graphs")
    )

    assert sum(inputs) <= graphs - plain <= 2 * sum(inputs)


def test_what_graphs_look_back_at_is_counted(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(monkeypatch)
    config = bench.config("sd15", max_rows=9, feature_bank=2)  # filled up to twelve rows
    folder = open_folder(config)
    graphs = GraphNetworks(folder, replace(config, backend="graphs"), lambda message: None)
    past = {graph.inputs[3].untyped_storage().data_ptr() for graph in graphs._denoisers.values()}
    held = graphs._denoisers[12].inputs[3].nbytes

    with_bank, without = (
        vram.estimate(folder, replace(config, backend="graphs", feature_bank=count), CPU)
        for count in (2, 0)
    )

    assert len(past) == 1
    assert held < with_bank.activations - without.activations < 4 * held


def test_what_is_left_decides_how_many_sessions_fit(bench: Bench) -> None:
    config = bench.config("sd15")
    memory = vram.estimate(open_folder(config), config, CPU)

    def free(device: torch.device) -> int:
        return memory.engine + 2 * memory.session

    room = memory.engine - memory.activations - memory.prompts
    assert build_engine(config, free=free).info.places == 2 + room // memory.session
    assert build_engine(config).info.places is None  # a CPU


def test_what_a_warm_up_left_to_pytorch_counts_as_free(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (1000, 8000))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: 700)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device: 400)

    assert vram.free_memory(CUDA) == 1300
    assert vram.free_memory(CPU) is None


def test_more_rows_and_pixels_take_more() -> None:
    small, large = EngineConfig(), EngineConfig(width=512, height=512, max_rows=16)
    folder = open_folder(small)
    one, other = (vram.estimate(folder, config, CPU) for config in (small, large))

    assert other.weights == one.weights
    assert other.activations > 3 * one.activations
    assert other.session > 3 * one.session
