"""Tiny models of the true architectures with random weights, written by the true libraries."""

import copy
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from diffusers import (
    AutoencoderKL,
    AutoencoderTiny,
    DDPMScheduler,
    FlowMatchEulerDiscreteScheduler,
    UNet2DConditionModel,
)
from torch import Tensor, nn
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
)

from pipeline.backends.eager import EagerNetworks
from pipeline.config import EngineConfig
from pipeline.embedded import export
from pipeline.engine import Engine
from pipeline.feature_bank import FeatureBank
from pipeline.models.folder import open_folder
from pipeline.models.patch_autoencoder import PatchAutoencoder
from pipeline.models.static_text import StaticTextEncoder
from pipeline.params import StyleParams
from pipeline.results import EngineResult, Image
from pipeline.slots import Slot

SIDE = 64
TEXT = 24  # width of embeddings
FAMILIES = ("sd15", "turbo", "ip2p", "sdxl", "embedded")
POOLED = 12  # width of SDXL's pooled text


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One folder a family; never written to after this."""
    root = tmp_path_factory.mktemp("models")
    writers: dict[str, Callable[[Path], None]] = {
        "sd15": lambda to: write_stable_diffusion(to, "epsilon"),
        "turbo": lambda to: write_stable_diffusion(to, "v_prediction", tiny=True),
        "ip2p": lambda to: write_stable_diffusion(to, "epsilon", in_channels=8),
        "sdxl": write_sdxl,
        "embedded": write_embedded,
        "flow": lambda to: write_flow(to, FlowMatchEulerDiscreteScheduler(shift=3.0)),
        "instaflow": lambda to: write_flow(to, None),
    }
    for seed, (name, write) in enumerate(writers.items()):
        torch.manual_seed(seed)
        write(root / name)
    return {name: root / name for name in writers}


def write_stable_diffusion(
    to: Path, prediction_type: str, *, tiny: bool = False, in_channels: int = 4
) -> None:
    """Write a folder as diffusers does for Stable Diffusion."""
    make_unet(in_channels, 4).save_pretrained(to / "unet")
    make_autoencoder(tiny).save_pretrained(to / "vae")
    tokenizer = make_tokenizer()
    tokenizer.save_pretrained(to / "tokenizer")
    text = CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer), hidden_size=TEXT, intermediate_size=48, num_hidden_layers=2,
            num_attention_heads=4, max_position_embeddings=16,
            bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id,
        )
    )  # fmt: skip
    text.get_input_embeddings().weight.data.normal_()
    text.save_pretrained(to / "text_encoder")
    DDPMScheduler(
        beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012,
        prediction_type=prediction_type,
    ).save_pretrained(to / "scheduler")  # fmt: skip
    index = {
        "_class_name": "StableDiffusionPipeline",
        "unet": ["diffusers", "UNet2DConditionModel"],
        "vae": ["diffusers", "AutoencoderTiny" if tiny else "AutoencoderKL"],
        "text_encoder": ["transformers", "CLIPTextModel"],
        "tokenizer": ["transformers", "CLIPTokenizer"],
        "scheduler": ["diffusers", "DDPMScheduler"],
    }
    export._write(to / "model_index.json", index)


def write_sdxl(to: Path) -> None:
    """Write a folder as diffusers does for SDXL: two text encoders, a pooled text, sizes."""
    write_stable_diffusion(to, "epsilon")
    make_unet(
        4, 4, cross_attention_dim=2 * TEXT, addition_embed_type="text_time",
        addition_time_embed_dim=8, projection_class_embeddings_input_dim=6 * 8 + POOLED,
    ).save_pretrained(to / "unet")  # fmt: skip
    tokenizer = make_tokenizer()
    tokenizer.save_pretrained(to / "tokenizer_2")
    second = CLIPTextModelWithProjection(
        CLIPTextConfig(
            vocab_size=len(tokenizer), hidden_size=TEXT, intermediate_size=48, num_hidden_layers=3,
            num_attention_heads=4, max_position_embeddings=16, projection_dim=POOLED,
            bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id,
        )
    )  # fmt: skip
    second.text_model.embeddings.token_embedding.weight.data.normal_()
    second.text_projection.weight.data *= 20
    second.save_pretrained(to / "text_encoder_2")
    index = json.loads((to / "model_index.json").read_text())
    more = {"text_encoder_2": ["transformers", "CLIPTextModelWithProjection"],
            "tokenizer_2": ["transformers", "CLIPTokenizer"]}  # fmt: skip
    index |= {"_class_name": "StableDiffusionXLPipeline", **more}
    export._write(to / "model_index.json", index)


def write_flow(to: Path, scheduler: FlowMatchEulerDiscreteScheduler | None) -> None:
    """Write a rectified flow; without a scheduler of its own it is InstaFlow's layout."""
    write_stable_diffusion(to, "epsilon")
    if scheduler is not None:
        scheduler.save_pretrained(to / "scheduler")
        return
    index = json.loads((to / "model_index.json").read_text())
    export._write(to / "model_index.json", index | {"_class_name": "RectifiedFlowPipeline"})


def write_embedded(to: Path) -> None:
    """Write a folder as pipeline/embedded/export.py does."""
    make_unet(8, 4).save_pretrained(to / "unet")
    autoencoder = PatchAutoencoder(latent_channels=4, fine_channels=8, coarse_channels=8)
    autoencoder.set_principal_components(torch.randn(400, 192).cumsum(1) / 10)
    autoencoder.save_pretrained(to / "vae")
    make_static_text().save_pretrained(to / "text_encoder")
    export._write(to / "scheduler" / "scheduler_config.json", export._SCHEDULER)
    export._write(to / "model_index.json", export._INDEX)
    export._write(to / "styles.json", [{"name": "Ink", "prompt": "ink", "examples": ["black ink"]}])


def write_small_unet(to: Path) -> None:
    """Write a UNet of one level into a folder: it is traced in seconds."""
    UNet2DConditionModel(
        sample_size=8, in_channels=4, out_channels=4, block_out_channels=(16,),
        down_block_types=("CrossAttnDownBlock2D",), up_block_types=("UpBlock2D",),
        mid_block_type=None, layers_per_block=1, attention_head_dim=4, norm_num_groups=8,
        cross_attention_dim=24,
    ).save_pretrained(to / "unet")  # fmt: skip


def make_unet(in_channels: int, out_channels: int, **more: object) -> UNet2DConditionModel:
    """A UNet of two levels; its attention is made strong, so that words matter."""
    unet = UNet2DConditionModel(
        sample_size=8,
        in_channels=in_channels,
        out_channels=out_channels,
        block_out_channels=(16, 32),
        layers_per_block=1,
        attention_head_dim=4,
        norm_num_groups=8,
        **(
            {
                "cross_attention_dim": TEXT,
                "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
                "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
            }
            | more
        ),
    )
    for name, module in unet.named_modules():
        if "attn2" in name and isinstance(module, nn.Linear):
            module.weight.data *= 3
    return unet.eval()


def make_autoencoder(tiny: bool) -> AutoencoderKL | AutoencoderTiny:
    """An autoencoder that halves three times."""
    if tiny:
        widths = (8, 8, 8, 8)
        small = AutoencoderTiny(
            encoder_block_out_channels=widths, decoder_block_out_channels=widths,
            num_encoder_blocks=(1, 1, 1, 1), num_decoder_blocks=(1, 1, 1, 1),
        )  # fmt: skip
        small.encoder.layers[-1].weight.data *= 20  # so that latents show the picture
        return small.eval()
    autoencoder = AutoencoderKL(
        block_out_channels=(8, 8, 8, 8), norm_num_groups=4, latent_channels=4, sample_size=SIDE,
        down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4,
    )  # fmt: skip
    autoencoder.decoder.conv_out.weight.data *= 3
    return autoencoder.eval()


def make_tokenizer() -> CLIPTokenizer:
    """CLIP's tokenizer with letters for a vocabulary."""
    letters = "abcdefghijklmnopqrstuvwxyz"
    pieces = [*letters, *(f"{letter}</w>" for letter in letters)]
    pieces += ["<|startoftext|>", "<|endoftext|>"]
    return CLIPTokenizer(
        vocab={piece: i for i, piece in enumerate(pieces)}, merges=[], model_max_length=16
    )


def make_static_text() -> StaticTextEncoder:
    """The embedded text encoder with a vocabulary of words and letters."""
    words = ["[PAD]", "[UNK]", "ink", "oil", "night", *"abcdefghijklmnopqrstuvwxyz"]
    words += [f"##{letter}" for letter in "abcdefghijklmnopqrstuvwxyz"]
    encoder = StaticTextEncoder(words, table_dim=8, dim=TEXT)
    encoder.table.normal_()
    encoder.nothing.data.normal_()
    return encoder.eval()


class Recording:
    """Networks that run, and remember how many rows each call had and what was decoded."""

    name = "recording"
    batches = True

    def __init__(self, inner: EagerNetworks) -> None:
        self._inner = inner
        self.device = inner.device
        self.rows: list[int] = []
        self.timesteps: list[list[float]] = []
        self.latents: list[Tensor] = []

    @property
    def bank(self) -> FeatureBank | None:
        return self._inner.bank

    def sized(self, width: int, height: int) -> "Recording":
        other = copy.copy(self)
        other._inner = self._inner.sized(width, height)
        return other

    def encode(self, images: Tensor) -> Tensor:
        return self._inner.encode(images)

    def condition(self, words: Tensor) -> Tensor:
        return self._inner.condition(words)

    def denoise(self, rows: Tensor, timesteps: Sequence[float], prompts: Tensor) -> Tensor:
        self.rows.append(len(rows))
        self.timesteps.append(list(timesteps))
        return self._inner.denoise(rows, timesteps, prompts)

    def decode(self, latents: Tensor) -> Tensor:
        self.latents.append(latents)
        return self._inner.decode(latents)


class Bench:
    """Makes engines over one set of loaded networks a family."""

    def __init__(self, models: dict[str, Path]) -> None:
        self.models = models
        self._loaded: dict[str, EagerNetworks] = {}

    def config(self, family: str, **changes: object) -> EngineConfig:
        values: dict[str, object] = {
            "model": str(self.models[family]), "width": SIDE, "height": SIDE,
            "backend": "eager", "threads": 1, "device": "cpu",
        }  # fmt: skip
        return EngineConfig(**(values | changes))  # type: ignore[arg-type]  # a test's own values

    def engine(self, family: str = "sd15", **changes: object) -> tuple[Engine, Recording]:
        config = self.config(family, **changes)
        folder = open_folder(config)
        inner = self._loaded.get(family)
        if inner is None or config.feature_bank:  # a bank remembers who was there
            inner = EagerNetworks(folder, config, lambda message: None)
        if not config.feature_bank:
            self._loaded[family] = inner
        networks = Recording(inner)
        return Engine(config, folder, networks), networks


@pytest.fixture(scope="session")
def sd_folder(models: dict[str, Path]) -> Path:
    return models["sd15"]


@pytest.fixture(scope="session")
def converted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder in which OpenVINO's files of `models` stay: none is converted twice."""
    return tmp_path_factory.mktemp("converted")


@pytest.fixture(scope="session")
def bench(models: dict[str, Path]) -> Bench:
    return Bench(models)


def picture(seed: int = 0, side: int = SIDE) -> Image:
    """A smooth picture with an edge in it."""
    generator = np.random.default_rng(seed)
    y, x = np.mgrid[0:side, 0:side] / side
    phase = generator.uniform(0, 6, 3)
    waves = np.stack([np.sin(4 * x + 3 * y * (c + 1) + phase[c]) for c in range(3)], -1)
    image = np.clip(128 + 100 * waves, 0, 255).astype(np.uint8)
    image[side // 4 : side // 2, side // 4 : side // 2] = generator.integers(0, 255, 3)
    return image


def moving(count: int, seed: int = 0, step: int = 2, side: int = SIDE) -> list[Image]:
    """Frames of a camera with a little noise, before which a texture moves to the left."""
    generator = np.random.default_rng(seed)
    wide = side + step * count
    small = generator.integers(40, 215, (side // 8, wide // 8 + 1, 3), np.uint8)
    scene = cv2.resize(small, (wide, side), interpolation=cv2.INTER_CUBIC).astype(np.float32)
    frames = (scene[:, step * n : step * n + side] for n in range(count))
    noisy = (frame + generator.normal(0, 2, frame.shape) for frame in frames)
    return [np.clip(frame, 0, 255).astype(np.uint8) for frame in noisy]


def noting_latents(monkeypatch: pytest.MonkeyPatch) -> dict[tuple[str, int], Tensor]:
    """Fill what it gives with each frame's latent as it is decoded, by session and number."""
    latents: dict[tuple[str, int], Tensor] = {}
    finished = Slot.finished

    def noted(slot: Slot, shown: Image) -> Image:
        latents[slot.session, slot.number] = slot.x
        return finished(slot, shown)

    monkeypatch.setattr(Slot, "finished", noted)
    return latents


def drain(engine: Engine) -> list[EngineResult]:
    """Tick until nothing is in flight."""
    results = []
    while engine.in_flight:
        results += engine.tick()
    return results


def play(
    engine: Engine, frames: Sequence[tuple[str, int, Image, StyleParams]]
) -> list[EngineResult]:
    """Submit frames as fast as the engine wants them; give all results."""
    results: list[EngineResult] = []
    for session, number, image, params in frames:
        while not engine.wants(session, params.steps):
            results += engine.tick()
        engine.submit(session, number, image, params)
    return results + drain(engine)


def alone(engine: Engine, image: Image, params: StyleParams, session: str = "alone") -> Image:
    """What one frame becomes when nothing else is going on."""
    engine.open(session)
    engine.submit(session, 0, image, params)
    (result,) = drain(engine)
    engine.close(session)
    return result.image


def levels_apart(one: Image, other: Image) -> int:
    """The largest difference of two pictures, in levels of 255."""
    return int(np.abs(one.astype(int) - other.astype(int)).max())


def apart(one: Tensor, other: Tensor) -> float:
    """Relative L2 distance."""
    return float((one - other).norm() / other.norm())
