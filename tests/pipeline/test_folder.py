import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from pipeline.config import EngineConfig
from pipeline.embedded import WEIGHTS
from pipeline.errors import BackendUnavailable, ConfigError, ModelError
from pipeline.models.folder import ModelFolder, open_folder
from pipeline.models.loader import add_lora, load_autoencoder, load_denoiser, load_text


def change(path: Path, **values: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:200])


WEIGHTS_NAME = "diffusion_pytorch_model.safetensors"
DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "no index": (lambda f: (f / "model_index.json").unlink(), "model_index.json is missing"),
    "broken index": (lambda f: (f / "model_index.json").write_text("{"), "not readable as JSON"),
    "no unet": (lambda f: shutil.rmtree(f / "unet"), "unet: folder"),
    "no weights": (lambda f: (f / "vae" / WEIGHTS_NAME).unlink(), f"vae: no {WEIGHTS_NAME}"),
    "pickle": (
        lambda f: (f / "unet" / WEIGHTS_NAME).rename(f / "unet" / "model.bin"),
        "can run code when it is opened",
    ),
    "damaged": (lambda f: truncate(f / "unet" / WEIGHTS_NAME), "damaged"),
    "text width": (
        lambda f: change(f / "text_encoder" / "config.json", hidden_size=99),
        "unet expects text of width 24, text_encoder gives 99",
    ),
    "latents": (
        lambda f: change(f / "vae" / "config.json", latent_channels=16),
        "unet takes 4 channels, vae gives 16",
    ),
    "another unet": (
        lambda f: change(f / "unet" / "config.json", in_channels=8),
        "unet: config.json says in_channels 8, but conv_in.weight in",
    ),
    "another vae": (
        lambda f: [
            change(f / "vae" / "config.json", latent_channels=16),
            change(f / "unet" / "config.json", in_channels=16, out_channels=16),
        ],
        "unet: config.json says in_channels 16",
    ),
    "another text": (
        lambda f: change(f / "text_encoder" / "config.json", max_position_embeddings=77),
        "has the shape [16, 24]",
    ),
    "class": (
        lambda f: change(f / "model_index.json", unet=["evil", "Evil"]),
        "class 'Evil'",
    ),
}


def test_sdxl_without_its_second_encoder_or_with_another_one_is_refused(
    models: dict[str, Path], tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(models["sdxl"], tmp_path / "model"))
    change(folder / "text_encoder_2" / "config.json", projection_dim=7)
    with pytest.raises(ModelError, match="pooled text of width 12, text_encoder_2 gives 7"):
        open_folder(EngineConfig(model=str(folder)))

    change(folder / "text_encoder_2" / "config.json", projection_dim=12, max_position_embeddings=9)
    with pytest.raises(ModelError, match="text_encoder gives 16 tokens, text_encoder_2 9"):
        open_folder(EngineConfig(model=str(folder)))

    change(folder / "model_index.json", text_encoder_2=[None, None])
    with pytest.raises(ModelError, match="unet expects text of width 48, text_encoder gives 24"):
        open_folder(EngineConfig(model=str(folder)))


@pytest.mark.parametrize("family", ["turbo", "sdxl"])
def test_a_part_of_another_model_is_named_with_both_shapes(
    models: dict[str, Path], tmp_path: Path, family: str
) -> None:
    folder = Path(shutil.copytree(models[family], tmp_path / "model"))
    wrong = {
        "turbo": ("vae", "decoder.layers.0.weight", torch.zeros(8, 16, 3, 3)),
        "sdxl": ("unet", "add_embedding.linear_1.weight", torch.zeros(64, 99)),
    }
    part, name, other = wrong[family]
    weights = load_file(folder / part / WEIGHTS_NAME)
    save_file(weights | {name: other}, folder / part / WEIGHTS_NAME)

    with pytest.raises(ModelError) as caught:
        open_folder(EngineConfig(model=str(folder)))
    assert str(caught.value).startswith(f"{part}: config.json says ")
    assert str(list(other.shape)) in str(caught.value)


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_folder_that_cannot_work_is_refused_by_name(
    damage: str, sd_folder: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(sd_folder, folder)
    harm, sentence = DAMAGES[damage]
    harm(folder)
    with pytest.raises(ModelError) as caught:
        open_folder(EngineConfig(model=str(folder)))
    assert sentence in str(caught.value)


def test_weights_that_do_not_fit_their_config_are_told(sd_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(sd_folder, folder)
    change(folder / "unet" / "config.json", block_out_channels=[16, 48])
    with pytest.raises(ModelError, match=r"unet: the weights in .* do not fit") as caught:
        load_denoiser(open_folder(EngineConfig(model=str(folder))), 64, 64)
    assert "conv1.bias has the shape [32], [48] is asked for" in str(caught.value)


def load_everything(folder: ModelFolder) -> None:
    load_denoiser(folder, 64, 64)
    load_autoencoder(folder)
    load_text(folder, torch.device("cpu"))


@pytest.mark.parametrize(
    ("part", "weight", "shape", "sentence"),
    [
        ("unet", "mid_block.resnets.0.conv1.weight", (32, 8, 3, 3),
         "conv1.weight has the shape [32, 8, 3, 3], [32, 32, 3, 3] is asked for"),
        ("unet", "conv_in.bias", None, "conv_in.bias is missing, [16] is asked for"),
        ("unet", "more", (2, 3), "more has the shape [2, 3], there is no place for it"),
        ("vae", "encoder.conv_in.weight", (8, 5, 3, 3),
         "encoder.conv_in.weight has the shape [8, 5, 3, 3], [8, 3, 3, 3] is asked for"),
        ("text_encoder", "encoder.layers.1.mlp.fc1.weight", (48, 23),
         "mlp.fc1.weight has the shape [48, 23], [48, 24] is asked for"),
        ("text_encoder", "final_layer_norm.bias", None,
         "final_layer_norm.bias is missing, [24] is asked for"),
    ],
)  # fmt: skip
def test_any_weight_of_another_shape_is_named_with_both_shapes(
    sd_folder: Path, tmp_path: Path, part: str, weight: str, shape: tuple[int, ...] | None,
    sentence: str,
) -> None:  # fmt: skip
    folder = Path(shutil.copytree(sd_folder, tmp_path / "model"))
    (file,) = (folder / part).glob("*.safetensors")
    weights = load_file(file)
    name = next((each for each in weights if each.endswith(weight)), weight)
    weights.pop(name, None)
    save_file(weights | ({} if shape is None else {name: torch.zeros(shape)}), file)

    found = open_folder(EngineConfig(model=str(folder)))
    with pytest.raises(ModelError) as caught:
        load_everything(found)
    assert str(caught.value).startswith(f"{part}: the weights in {file} do not fit ")
    assert str(caught.value).endswith(sentence)


class Canary:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return (Path.touch, (self.path,))


@pytest.mark.parametrize("ending", [".ckpt", ".pt", ".bin", ".pkl"])
def test_a_pickle_is_never_opened(ending: str, tmp_path: Path) -> None:
    canary, model = tmp_path / "canary", tmp_path / f"model{ending}"
    model.write_bytes(pickle.dumps(Canary(canary)))
    with pytest.raises(ModelError, match="convert it first"):
        open_folder(EngineConfig(model=str(model)))
    assert not canary.exists()


def with_code(folder: Path, canary: Path) -> None:
    """Add what libraries run from folders that ask for it: modules, and the keys that name them."""
    code = f"import pathlib\npathlib.Path({str(canary)!r}).touch()\nclass Evil: ...\n"
    for place in (folder, *(each for each in folder.iterdir() if each.is_dir())):
        for name in ("pipeline.py", "modeling.py", "evil.py", "__init__.py"):
            (place / name).write_text(code)
    change(folder / "model_index.json", custom_pipeline="pipeline", trust_remote_code=True)
    asked = {"AutoModel": "modeling.Evil", "AutoConfig": "evil.Evil", "AutoTokenizer": "evil.Evil"}
    for config in folder.glob("*/*config.json"):
        change(config, auto_map=asked, custom_pipeline="evil.py", trust_remote_code=True)


def test_code_in_a_folder_is_never_run(sd_folder: Path, tmp_path: Path) -> None:
    folder, canary = Path(shutil.copytree(sd_folder, tmp_path / "model")), tmp_path / "canary"
    with_code(folder, canary)
    load_everything(open_folder(EngineConfig(model=str(folder))))
    assert not canary.exists()


@pytest.mark.parametrize("part", ["unet", "vae", "text_encoder"])
def test_a_class_of_a_folders_own_is_refused(part: str, sd_folder: Path, tmp_path: Path) -> None:
    folder, canary = Path(shutil.copytree(sd_folder, tmp_path / "model")), tmp_path / "canary"
    with_code(folder, canary)
    change(folder / "model_index.json", **{part: ["pipeline", "Evil"]})
    with pytest.raises(ModelError, match=f"{part}: class 'Evil' .* this engine loads"):
        open_folder(EngineConfig(model=str(folder)))
    assert not canary.exists()


@pytest.mark.parametrize("harm", ["missing", "damaged"])
def test_a_wrong_byte_in_the_shipped_model_is_named_with_the_way_to_restore_it(
    harm: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shipped = tmp_path / "weights"
    shutil.copytree(WEIGHTS, shipped)
    monkeypatch.setattr("pipeline.models.folder.WEIGHTS", shipped)
    open_folder(EngineConfig())
    file = shipped / "unet" / WEIGHTS_NAME
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.unlink() if harm == "missing" else file.write_bytes(content)

    with pytest.raises(ModelError, match=f"{WEIGHTS_NAME}: {harm}.*git checkout -- pipeline/"):
        open_folder(EngineConfig())


@pytest.mark.parametrize(
    ("family", "factor"), [("sd15", 0.18215), ("turbo", 1.0), ("embedded", 1.0)]
)
def test_an_autoencoder_that_says_no_scaling_factor_has_its_kinds_own(
    models: dict[str, Path], tmp_path: Path, family: str, factor: float
) -> None:
    """As in folders of SD 1.5, which are older than the field."""
    folder = Path(shutil.copytree(models[family], tmp_path / "model"))
    path = folder / "vae" / "config.json"
    config = json.loads(path.read_text())
    del config["scaling_factor"]
    path.write_text(json.dumps(config))

    found = open_folder(EngineConfig(model=str(folder)))

    assert found.scaling_factor == found.source_divisor == factor
    encoder, _ = load_autoencoder(found)
    assert encoder.autoencoder.config.get("scaling_factor", factor) == factor  # the library's


@pytest.mark.parametrize("field", ["shift_factor", "latents_mean"])
def test_an_autoencoder_scaled_in_another_way_is_refused(
    sd_folder: Path, tmp_path: Path, field: str
) -> None:
    folder = Path(shutil.copytree(sd_folder, tmp_path / "model"))
    value = 0.5 if field == "shift_factor" else [0.1] * 4
    change(folder / "vae" / "config.json", **{field: value})

    with pytest.raises(ModelError, match=f"vae: {field} .* scales latents by scaling_factor only"):
        open_folder(EngineConfig(model=str(folder)))


def test_a_missing_model_and_a_bad_size_say_what_is_allowed(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no such folder"):
        open_folder(EngineConfig(model=str(tmp_path / "nowhere")))
    with pytest.raises(ConfigError, match="width 250: give a multiple of 8"):
        EngineConfig(width=250)


def test_an_absent_gpu_is_a_sentence(sd_folder: Path) -> None:
    from pipeline.backends import choose_backend

    if torch.cuda.is_available():
        pytest.skip("there is a GPU here")
    with pytest.raises(BackendUnavailable, match="no NVIDIA GPU"):
        choose_backend(EngineConfig(model=str(sd_folder), device="cuda"))


@pytest.mark.parametrize("style", ["kohya", "peft"])
def test_a_lora_adds_its_product_to_the_weight(style: str, sd_folder: Path, tmp_path: Path) -> None:
    folder = open_folder(EngineConfig(model=str(sd_folder)))
    unet = load_denoiser(folder, 64, 64, fuse=False).unet
    layer = "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q"
    module = unet.get_submodule(layer)
    before = module.weight.clone()
    down, up = torch.randn(2, module.in_features), torch.randn(module.out_features, 2)
    name = f"lora_unet_{layer.replace('.', '_')}" if style == "kohya" else f"unet.{layer}"
    kinds = ("lora_down", "lora_up") if style == "kohya" else ("lora_A", "lora_B")
    weights = {f"{name}.{kinds[0]}.weight": down, f"{name}.{kinds[1]}.weight": up}
    if style == "kohya":
        weights[f"{name}.alpha"] = torch.tensor(1.0)
    save_file(weights, tmp_path / "lora.safetensors")

    assert add_lora(unet, tmp_path / "lora.safetensors") == 1

    scale = 0.5 if style == "kohya" else 1.0
    torch.testing.assert_close(module.weight, before + scale * up @ down)


def test_a_lora_for_another_network_names_the_layer(sd_folder: Path, tmp_path: Path) -> None:
    unet = load_denoiser(open_folder(EngineConfig(model=str(sd_folder))), 64, 64).unet
    save_file({"lora_unet_nowhere.lora_down.weight": torch.zeros(1, 1)}, tmp_path / "l.safetensors")
    with pytest.raises(ModelError, match="nowhere does not fit"):
        add_lora(unet, tmp_path / "l.safetensors")


def test_encoding_is_the_same_each_time(sd_folder: Path) -> None:
    encoder, _ = load_autoencoder(open_folder(EngineConfig(model=str(sd_folder))))
    image = torch.randint(0, 255, (1, 64, 64, 3), dtype=torch.uint8)
    with torch.inference_mode():
        assert torch.equal(encoder(image), encoder(image))


def test_the_shipped_model_is_small_and_holds_no_code() -> None:
    files = [path for path in WEIGHTS.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= 25e6
    assert {path.suffix for path in files} <= {".safetensors", ".json", ".txt", ".md", ".webp"}
    assert len(open_folder(EngineConfig()).presets) >= 24
