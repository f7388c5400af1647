"""Sizes change while an engine runs: nothing that others see changes, state begins anew."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from pipeline.backends import conversion
from pipeline.backends.simulated import Clock, Device
from pipeline.config import EngineConfig
from pipeline.deflicker import RAMP
from pipeline.engine import Engine, build_engine
from pipeline.errors import ConfigError, ModelError, NoRoom
from pipeline.models import vram
from pipeline.models.folder import open_folder
from pipeline.params import StyleParams
from tests.pipeline.conftest import FAMILIES, Bench, drain, levels_apart, picture

WIDE, TALL = (96, 64), (64, 96)
LARGE = (128, 128)  # self-attention looks at every other token
STYLE = StyleParams(prompt="ink", steps=2)


def of_size(size: tuple[int, int], seed: int = 0) -> np.ndarray:
    width, height = size
    return np.ascontiguousarray(picture(seed, max(size))[:height, :width])


def one(
    engine: Engine, number: int, size: tuple[int, int], style: StyleParams = STYLE
) -> np.ndarray:
    engine.submit("ann", number, of_size(size), style)
    (result,) = drain(engine)
    return result.image


@pytest.mark.parametrize("family", FAMILIES)
def test_a_size_that_came_later_shows_what_an_engine_of_that_size_shows(
    bench: Bench, family: str
) -> None:
    engine, _ = bench.engine(family)
    engine.open("ann")
    one(engine, 0, (64, 64))
    engine.prepare_size("ann", WIDE)
    later = one(engine, 1, WIDE)

    made_for_it, _ = bench.engine(family, width=96, height=64)
    made_for_it.open("ann")
    if family == "sdxl":  # it goes on being told the size that its engine began with
        first, _ = bench.engine(family)
        made_for_it._prompts = first._prompts
    assert later.shape == (64, 96, 3)
    assert levels_apart(later, one(made_for_it, 1, WIDE)) <= 1


def test_sessions_of_different_sizes_do_not_change_each_other(bench: Bench) -> None:
    engine, _networks = bench.engine()
    frames = {"ann": of_size((64, 64)), "ben": of_size(WIDE, 1), "cat": of_size(TALL, 2)}
    engine.prepare_size("ben", WIDE)
    engine.prepare_size("cat", TALL)
    alone = {}
    for session, image in frames.items():
        engine.open(session)
        engine.submit(session, 0, image, STYLE)
        alone[session] = drain(engine)[0].image
    for session, image in frames.items():
        engine.submit(session, 1, image, STYLE)
    together = {result.session: result.image for result in drain(engine)}

    assert all(levels_apart(together[s], alone[s]) <= 1 for s in frames)
    assert {image.shape for image in together.values()} == {(64, 64, 3), (64, 96, 3), (96, 64, 3)}


def test_frames_of_the_old_size_that_are_under_way_come_out_as_if_nothing_changed(
    bench: Bench,
) -> None:
    engine, _ = bench.engine(schedule="stream-batch")
    engine.open("ann")
    engine.prepare_size("ann", WIDE)
    expected = one(engine, 0, (64, 64))
    engine.submit("ann", 1, of_size((64, 64)), STYLE)
    results = engine.tick()
    engine.submit("ann", 2, of_size(WIDE), STYLE)
    results += drain(engine)

    assert [result.number for result in results] == [1, 2]
    assert levels_apart(results[0].image, expected) == 0
    assert results[1].image.shape == (64, 96, 3)


def test_deflicker_and_carried_noise_work_again_from_the_second_frame_on(bench: Bench) -> None:
    style = StyleParams(prompt="ink", deflicker=1.0, noise="warped")
    engine, _ = bench.engine()
    engine.open("ann")
    engine.prepare_size("ann", WIDE)
    one(engine, 0, (64, 64), style)
    one(engine, 1, WIDE, style)
    state = engine._sessions["ann"]
    assert state.deflicker._past is not None
    assert state.deflicker._past.shape[2:] == (8, 12)
    one(engine, 2, WIDE, style)
    assert state.deflicker._ramp.frames == RAMP + 1  # the frame before was blended in


def test_a_prompt_goes_on_travelling_through_a_change_of_size(bench: Bench) -> None:
    engine, _ = bench.engine()
    engine.open("ann")
    engine.prepare_size("ann", WIDE)
    engine.submit("ann", 0, of_size((64, 64)), StyleParams(prompt="ink"), 0.0)
    style = StyleParams(prompt="oil", travel=10.0)
    engine.submit("ann", 1, of_size((64, 64)), style, 1.0)
    engine.submit("ann", 2, of_size(WIDE), style, 6.0)  # half-way
    halfway = engine._slots[-1].prompt
    between = torch.lerp(engine._prompts.get("ink"), engine._prompts.get("oil"), 0.5)
    assert torch.allclose(halfway, between, atol=1e-5)


def test_a_size_is_let_go_once_nobody_uses_it(bench: Bench) -> None:
    engine, _ = bench.engine()
    for session in ("ann", "ben"):
        engine.open(session)
        engine.prepare_size(session, WIDE)
    one(engine, 0, WIDE)
    engine.prepare_size("ann", TALL)
    one(engine, 1, TALL)
    engine.close("ben")
    assert set(engine._sizes._ready) == {(64, 64), WIDE, TALL}
    engine.prepare_size("ann", (96, 96))
    assert set(engine._sizes._ready) == {(64, 64), TALL, (96, 96)}  # TALL is still shown
    with pytest.raises(ConfigError, match="96x64: prepare this size"):
        engine.submit("ann", 2, of_size(WIDE), STYLE)


def test_a_size_that_the_model_has_not_or_memory_has_no_room_for_is_refused_with_the_numbers(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, _ = bench.engine()
    assert engine.info.size_step == 16  # two levels over an autoencoder of eight
    with pytest.raises(ConfigError, match="width 72: sd15 needs multiples of 16"):
        engine.prepare_size("ann", (72, 64))

    config = bench.config("sd15", width=96, height=64)
    memory = vram.estimate(open_folder(config), config, "cpu")
    needed = memory.activations + memory.session
    with pytest.raises(NoRoom) as caught:
        engine._sizes.prepare("ann", WIDE, lambda device: needed - 1)
    assert f"takes about {vram.gigabytes(needed)} more" in str(caught.value)
    assert f"cpu has {vram.gigabytes(needed - 1)} free" in str(caught.value)
    engine._sizes.prepare("ann", WIDE, lambda device: needed)


def test_a_backend_of_one_size_says_so() -> None:
    config = EngineConfig()
    engine = Engine(config, open_folder(config), Device(Clock(), 0.0, 0.0))
    assert engine.info.size_step is None
    with pytest.raises(ConfigError, match="512x384: backend simulated was made for 256x256"):
        engine.prepare_size("ann", (512, 384))


@pytest.mark.slow
def test_openvino_serves_another_size_from_the_same_files(bench: Bench, converted: Path) -> None:
    engine = build_engine(bench.config("embedded", backend="openvino", cache=converted))
    files = sorted(path.name for path in converted.rglob("*.xml"))
    engine.open("ann")
    engine.prepare_size("ann", WIDE)
    shown = one(engine, 0, WIDE)

    eager, _ = bench.engine("embedded")
    eager.open("ann")
    eager.prepare_size("ann", WIDE)
    expected = one(eager, 0, WIDE)
    assert np.abs(shown.astype(float) - expected).mean() <= 2
    assert sorted(path.name for path in converted.rglob("*.xml")) == files


def test_files_that_only_a_larger_size_wants_are_made_in_another_process(
    bench: Bench, converted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build_engine(bench.config("embedded", backend="openvino", cache=converted))
    shutil.copytree(converted, tmp_path, dirs_exist_ok=True)
    files = len(list(tmp_path.rglob("denoiser.xml")))
    engine = build_engine(bench.config("embedded", backend="openvino", cache=tmp_path))
    monkeypatch.delattr(conversion, "convert")  # here it would hold Python's lock for seconds
    engine.open("ann")
    engine.prepare_size("ann", LARGE)
    shown = one(engine, 0, LARGE)

    assert len(list(tmp_path.rglob("denoiser.xml"))) == files + 1
    eager, _ = bench.engine("embedded")
    eager.open("ann")
    eager.prepare_size("ann", LARGE)
    assert np.abs(shown.astype(float) - one(eager, 0, LARGE)).mean() <= 2


def test_a_size_whose_files_cannot_be_made_is_refused_and_the_old_one_stays(
    bench: Bench, converted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = build_engine(bench.config("embedded", backend="openvino", cache=converted))
    engine.open("ann")
    monkeypatch.setattr("sys.executable", "/bin/false")
    with pytest.raises(ModelError, match=r"could not be converted for 192x192: .* ended with 1"):
        engine.prepare_size("ann", (192, 192))
    assert one(engine, 0, (64, 64)).shape == (64, 64, 3)
