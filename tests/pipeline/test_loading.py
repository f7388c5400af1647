"""What tests/pipeline/test_folder.py leaves: weights with holes, variants, LoRAs, other parts."""

import json
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from pipeline.config import EngineConfig
from pipeline.engine import build_engine
from pipeline.errors import ConfigError, ModelError
from pipeline.models.architectures import ARCHITECTURES, make_network
from pipeline.models.folder import open_folder
from pipeline.models.loader import add_lora, load_autoencoder, load_denoiser, load_text
from pipeline.params import StyleParams
from tests.pipeline.conftest import Bench, alone, levels_apart, make_autoencoder, make_unet, picture

WEIGHTS_NAME = "diffusion_pytorch_model.safetensors"
CPU = torch.device("cpu")


def config(folder: Path, **changes: object) -> EngineConfig:
    values: dict[str, object] = {"width": 64, "height": 64, "backend": "eager", "threads": 1}
    return EngineConfig(model=str(folder), **(values | changes))  # type: ignore[arg-type]  # test


def rewrite(path: Path, change: Callable[[dict[str, torch.Tensor]], object]) -> None:
    weights = load_file(path)
    change(weights)
    save_file(weights, path, metadata={"format": "pt"})


def set_json(path: Path, **values: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_the_true_architectures_have_the_published_number_of_parameters(name: str) -> None:
    with torch.device("meta"):  # shapes only: the largest would take 10 GB
        make_network(name)


@pytest.fixture
def copy(models: dict[str, Path], tmp_path: Path) -> Path:
    return Path(shutil.copytree(models["sd15"], tmp_path / "copy"))


def test_a_unet_with_a_missing_weight_is_refused_not_filled_with_noise(copy: Path) -> None:
    rewrite(copy / "unet" / WEIGHTS_NAME, lambda weights: weights.pop("conv_in.weight"))

    with pytest.raises(ModelError, match=r"unet: the weights in .* do not fit .*config\.json"):
        load_denoiser(open_folder(config(copy)), 64, 64)


def test_a_unet_with_weights_that_its_config_has_no_place_for_is_refused(copy: Path) -> None:
    rewrite(copy / "unet" / WEIGHTS_NAME, lambda weights: weights.update({"more": torch.zeros(2)}))

    with pytest.raises(ModelError, match="unet: the weights"):
        load_denoiser(open_folder(config(copy)), 64, 64)


def test_an_autoencoder_that_does_not_fit_its_config_is_refused(copy: Path) -> None:
    set_json(copy / "vae" / "config.json", block_out_channels=[8, 8, 8, 16])

    with pytest.raises(ModelError, match="vae: the weights"):
        load_autoencoder(open_folder(config(copy)))


def test_a_text_encoder_with_a_missing_weight_is_refused(copy: Path) -> None:
    def lose_one(weights: dict[str, torch.Tensor]) -> None:
        weights.pop(next(name for name in weights if "token_embedding" in name))

    rewrite(copy / "text_encoder" / "model.safetensors", lose_one)

    with pytest.raises(ModelError, match="text_encoder: the weights"):
        load_text(open_folder(config(copy)), CPU)


def test_a_missing_tokenizer_is_named(copy: Path) -> None:
    shutil.rmtree(copy / "tokenizer")

    with pytest.raises(ModelError, match=r"tokenizer: folder .*tokenizer is missing"):
        load_text(open_folder(config(copy)), CPU)


@pytest.mark.parametrize("content", ["{", '[{"title": "x"}]', "[3]", "7"])
def test_a_broken_list_of_styles_is_named(copy: Path, content: str) -> None:
    (copy / "styles.json").write_text(content)

    with pytest.raises(ModelError, match=r"styles\.json"):
        open_folder(config(copy))


@pytest.mark.parametrize("part", ["unet", "vae", "text_encoder"])
def test_a_truncated_file_is_called_damaged(copy: Path, part: str) -> None:
    (path,) = (copy / part).glob("*.safetensors")
    path.write_bytes(path.read_bytes()[:-100])

    with pytest.raises(ModelError, match=f"{path.name}: damaged"):
        open_folder(config(copy))


@pytest.mark.parametrize("part", ["unet", "vae", "text_encoder"])
def test_a_config_that_lacks_what_the_fit_needs_is_named(copy: Path, part: str) -> None:
    path = copy / part / "config.json"
    kept = json.loads(path.read_text())
    for name in ("in_channels", "latent_channels", "hidden_size"):
        kept.pop(name, None)
    path.write_text(json.dumps(kept))

    with pytest.raises(ModelError, match=part):
        open_folder(config(copy))


class Canary:
    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return (os.mkdir, (self.path,))


@pytest.mark.parametrize("part", ["unet", "vae", "text_encoder"])
@pytest.mark.parametrize("beside", [True, False])
def test_a_pickle_in_a_folder_is_never_opened(
    copy: Path, tmp_path: Path, part: str, beside: bool
) -> None:
    canary = tmp_path / "canary"
    (weights,) = (copy / part).glob("*.safetensors")
    for name in ("pytorch_model.bin", "diffusion_pytorch_model.bin"):
        (copy / part / name).write_bytes(pickle.dumps(Canary(str(canary))))
    if not beside:
        weights.unlink()
        with pytest.raises(ModelError, match="convert it first"):
            build_engine(config(copy))
    else:
        build_engine(config(copy))

    assert not canary.exists()


def test_weights_under_fp16_names_load(copy: Path) -> None:
    plain = alone(build_engine(config(copy)), picture(), StyleParams(prompt="ink"))
    for path in [p for part in ("unet", "vae", "text_encoder") for p in (copy / part).iterdir()]:
        if path.suffix == ".safetensors":
            rewrite(path, lambda w: w.update({k: v.half() for k, v in w.items()}))
            path.rename(path.with_suffix(".fp16.safetensors"))

    half = alone(build_engine(config(copy)), picture(), StyleParams(prompt="ink"))

    assert levels_apart(half, plain) <= 3


def test_a_size_that_the_autoencoder_cannot_divide_is_refused(tmp_path: Path, copy: Path) -> None:
    from diffusers import AutoencoderKL

    AutoencoderKL(
        block_out_channels=(8,) * 5, norm_num_groups=4, latent_channels=4,
        down_block_types=("DownEncoderBlock2D",) * 5, up_block_types=("UpDecoderBlock2D",) * 5,
    ).save_pretrained(tmp_path / "deep")  # fmt: skip

    with pytest.raises(ConfigError, match=r"height 72: .* multiples of 16"):
        open_folder(config(copy, height=72, autoencoder=str(tmp_path / "deep")))


def test_another_autoencoder_takes_the_place_of_the_models_own(copy: Path, tmp_path: Path) -> None:
    make_autoencoder(tiny=True).save_pretrained(tmp_path / "taesd")
    folder = open_folder(config(copy, autoencoder=str(tmp_path / "taesd")))

    encoder, _ = load_autoencoder(folder)

    assert type(encoder.autoencoder).__name__ == "AutoencoderTiny"
    assert folder.scaling_factor == 1.0


def test_a_unet_that_gives_other_channels_than_the_autoencoder_takes_is_refused(
    copy: Path,
) -> None:
    shutil.rmtree(copy / "unet")
    make_unet(4, 8).save_pretrained(copy / "unet")

    with pytest.raises(ModelError, match="unet gives 8 channels, vae takes 4"):
        open_folder(config(copy))


LAYERS = {
    "linear": "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_out.0",
    "conv": "down_blocks.0.resnets.0.conv1",
    "conv of one pixel": "down_blocks.0.attentions.0.proj_in",
}


@pytest.mark.parametrize("layer", LAYERS.values(), ids=LAYERS)
def test_a_lora_adds_alpha_over_rank_times_its_product(
    layer: str, models: dict[str, Path], tmp_path: Path
) -> None:
    unet = load_denoiser(open_folder(config(models["sd15"])), 64, 64).unet
    module = unet.get_submodule(layer)
    before, (width_out, width_in, *kernel) = module.weight.clone(), module.weight.shape
    down = torch.randn(4, width_in, *kernel)
    up = torch.randn(width_out, 4, *[1 for _ in kernel])
    name = f"lora_unet_{layer.replace('.', '_')}"
    save_file(
        {f"{name}.lora_down.weight": down, f"{name}.lora_up.weight": up,
         f"{name}.alpha": torch.tensor(2.0), "lora_te_text_model.lora_up.weight": torch.ones(1)},
        tmp_path / "lora.safetensors",
    )  # fmt: skip

    assert add_lora(unet, tmp_path / "lora.safetensors") == 1

    product = torch.einsum("or,ri...->oi...", up.flatten(1), down)
    torch.testing.assert_close(module.weight, before + 2 / 4 * product)


def test_a_lora_changes_the_picture(models: dict[str, Path], bench: Bench, tmp_path: Path) -> None:
    name = "lora_unet_conv_out"
    save_file(
        {f"{name}.lora_down.weight": torch.ones(2, 16, 3, 3),
         f"{name}.lora_up.weight": torch.ones(4, 2, 1, 1)},
        tmp_path / "lora.safetensors",
    )  # fmt: skip
    fused = build_engine(config(models["sd15"], lora=str(tmp_path / "lora.safetensors")))

    plain = alone(bench.engine()[0], picture(), StyleParams(prompt="ink"))

    assert levels_apart(alone(fused, picture(), StyleParams(prompt="ink")), plain) > 1


@pytest.mark.parametrize(
    ("down", "up"), [((4, 9), (16, 4)), ((4, 16), (16, 3))], ids=["other width", "other rank"]
)
def test_a_lora_of_another_shape_names_the_layer(
    models: dict[str, Path], tmp_path: Path, down: tuple[int, int], up: tuple[int, int]
) -> None:
    unet = load_denoiser(open_folder(config(models["sd15"])), 64, 64).unet
    name = "lora_unet_" + LAYERS["linear"].replace(".", "_")
    save_file(
        {f"{name}.lora_down.weight": torch.ones(down), f"{name}.lora_up.weight": torch.ones(up)},
        tmp_path / "lora.safetensors",
    )

    with pytest.raises(ModelError, match="attn1_to_out_0 does not fit"):
        add_lora(unet, tmp_path / "lora.safetensors")


def test_a_lora_that_is_missing_a_pickle_or_without_a_unet_is_refused(
    models: dict[str, Path], tmp_path: Path
) -> None:
    for name, sentence in (("no.safetensors", "restore it"), ("l.ckpt", "convert it first")):
        with pytest.raises(ModelError, match=sentence):
            open_folder(config(models["sd15"], lora=str(tmp_path / name)))
    save_file({"lora_te_x.lora_up.weight": torch.ones(1)}, tmp_path / "te.safetensors")
    with pytest.raises(ModelError, match="no LoRA for a UNet"):
        build_engine(config(models["sd15"], lora=str(tmp_path / "te.safetensors")))
