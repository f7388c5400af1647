"""The arms of a comparison and its arithmetic, on SD-Turbo's layout at a hundredth of its size."""

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from pipeline.backends.eager import EagerNetworks
from pipeline.comparison import arms, measuring
from pipeline.comparison.subject import Subject, write_subject
from pipeline.config import EngineConfig
from pipeline.errors import BackendUnavailable, ConfigError
from pipeline.models.folder import open_folder
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
        t = 999 - 20 * self.indices[0]
        abar = float(torch.cumprod(1 - abar, 0)[t])
        z = self.vae.encode(image * 2 - 1).latents
        x = abar**0.5 * z + (1 - abar)**0.5 * self.init_noise[:1]
        eps = self.unet(x, t, self.words).sample
        torch.cuda.synchronize()
        return self.vae.decode((x - (1 - abar)**0.5 * eps) / abar**0.5).sample
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


def test_diffusers_own_pipeline_runs_the_same_networks(subject: Subject) -> None:
    image = arms.auto_pipeline(subject)(picture())

    assert image.shape == (64, 64, 3)
    assert image.dtype == np.uint8
    assert image.std() > 1


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
    taken = measuring.interleaved(two, [picture()], 4)

    assert calls == ["quick", "slow"] * 7
    assert taken["slow"] == pytest.approx([4.0] * 4)
    assert measuring.summary(taken["quick"]) == {"median": 1.0, "iqr": 0.0}


def test_the_ceiling_is_the_arithmetic_of_a_product_by_its_time(
    subject: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.comparison.measuring.timed", lambda call, device, times: 2.0)

    assert measuring.matmul_ceiling(subject) == 2 * 1024**3 / 0.002


def test_plots_are_pictures_of_what_was_measured(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    from server.plots import draw

    found = {"one prompt": {"fps_together": 3.0}}
    figures = {
        "architecture": "mini", "size": "64x64", "steps": 1, "machine": {"device": "cpu"},
        "ms_per_frame": {"restyle eager": {"median": 3.0, "iqr": 1.0}},
        "sessions": {"restyle eager": {"1": found, "2": found}},
    }  # fmt: skip
    for path in draw(figures, tmp_path / "plots"):
        assert path.read_bytes().startswith(b"\x89PNG")


def test_ratios_say_how_many_times_as_fast_restyle_is() -> None:
    from server.bench_compare import _ratios

    taken = {"restyle eager": [2.0, 2.0, 9.0], "diffusers": [8.0], "streamdiffusion": [3.0]}
    assert _ratios(taken) == {"restyle eager": {"diffusers": 4.0, "streamdiffusion": 1.5}}
