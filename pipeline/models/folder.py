"""A model on disk in the layout of diffusers, looked at without loading any weight.

Every model family is such a folder: the embedded one, SD-Turbo, SD 1.5, InstructPix2Pix. What
tells them apart is data: channels, downscaling, prediction type, text width.
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from pipeline.config import EngineConfig
from pipeline.embedded import WEIGHTS
from pipeline.errors import ConfigError, ModelError
from pipeline.models.fit import check_weights

RECTIFIED = "RectifiedFlow"  # InstaFlow's folders have the scheduler of Stable Diffusion
REFERENCE = "reference.safetensors"
_PICKLES = (".ckpt", ".pt", ".pth", ".bin", ".pkl")
# what a part may be; nothing else is ever imported on a model's word
CLASSES = {
    "unet": ("UNet2DConditionModel",),
    "vae": ("AutoencoderKL", "AutoencoderTiny", "PatchAutoencoder"),
    "text_encoder": ("CLIPTextModel", "StaticTextEncoder"),
    "text_encoder_2": ("CLIPTextModelWithProjection",),
}
# what an autoencoder's latents are multiplied with where its config.json does not say: diffusers'
# own defaults. Folders that are older than the field have none
_SCALING = {"AutoencoderKL": 0.18215, "AutoencoderTiny": 1.0, "PatchAutoencoder": 1.0}
# other ways to bring latents to unit variance
_OTHER_SCALING = ("shift_factor", "latents_mean", "latents_std")
_WEIGHT_NAMES = {
    "unet": ("diffusion_pytorch_model.safetensors", "diffusion_pytorch_model.fp16.safetensors"),
    "vae": ("diffusion_pytorch_model.safetensors", "diffusion_pytorch_model.fp16.safetensors"),
    "text_encoder": ("model.safetensors", "model.fp16.safetensors"),
    "text_encoder_2": ("model.safetensors", "model.fp16.safetensors"),
}


@dataclass(frozen=True, slots=True)
class Preset:
    """A style that a model knows by name, and words that lead to it."""

    name: str
    prompt: str
    examples: tuple[str, ...] = ()
    thumbnail: Path | None = None  # a small WebP picture


@dataclass(frozen=True, slots=True)
class Part:
    """One network of a folder."""

    name: str
    class_name: str
    folder: Path
    weights: Path
    config: dict[str, Any]


@dataclass(frozen=True, slots=True)
class ModelFolder:
    """A folder whose parts are there, safe, and fit together."""

    name: str
    path: Path
    unet: Part
    autoencoder: Part
    text: Part
    text_2: Part | None  # SDXL has two
    scheduler: dict[str, Any]
    lora: Path | None
    presets: tuple[Preset, ...]

    @property
    def reference(self) -> Path | None:
        """Give this folder if it has what reads reference pictures (pipeline/reference.py)."""
        return self.path if self.presets and (self.path / REFERENCE).is_file() else None

    @property
    def latent_channels(self) -> int:
        """How many channels a latent has."""
        return int(self.autoencoder.config["latent_channels"])

    @property
    def downscale(self) -> int:
        """How many pixels a side become one latent."""
        if self.autoencoder.class_name == "PatchAutoencoder":
            return 8
        key = "block_out_channels" if "block_out_channels" in self.autoencoder.config else None
        widths = self.autoencoder.config[key or "decoder_block_out_channels"]
        return int(2 ** (len(widths) - 1))

    @property
    def size_step(self) -> int:
        """What width and height are multiples of, so that every level of the UNet halves evenly."""
        return self.downscale << (len(self.unet.config["block_out_channels"]) - 1)

    def times_trained(self, width: int, height: int) -> float:
        """Say how many times the size that it was trained at a picture is, by its area's root."""
        trained = self.unet.config.get("sample_size")
        if not isinstance(trained, int):
            return 1.0
        return float((width * height) ** 0.5 / (trained * self.downscale))

    @property
    def scaling_factor(self) -> float:
        """What encoded latents are multiplied with to have about unit variance."""
        found = self.autoencoder.config.get("scaling_factor")
        return float(found or _SCALING[self.autoencoder.class_name])

    @property
    def overflows(self) -> bool:
        """Say whether the autoencoder's numbers outgrow fp16: SDXL's own do, unless its config.json
        has force_upcast off. SD's says that they do, and they do not.
        """
        own = self.text_2 is not None and self.autoencoder.class_name == "AutoencoderKL"
        return own and bool(self.autoencoder.config.get("force_upcast", True))

    @property
    def sees_source(self) -> bool:
        """Say whether the UNet also takes the source latent (the InstructPix2Pix family)."""
        return bool(self.unet.config["in_channels"] == 2 * self.latent_channels)

    @property
    def words_shape(self) -> tuple[int, int]:
        """Tokens and width of an embedded prompt. SDXL's pooled embedding is one token more."""
        config = self.text.config
        tokens = int(config.get("tokens") or config["max_position_embeddings"])
        return tokens + (self.text_2 is not None), int(self.unet.config["cross_attention_dim"])

    @property
    def source_divisor(self) -> float:
        """InstructPix2Pix was trained with source latents that are not scaled; so was ours."""
        return self.scaling_factor

    def parts(self) -> list[Part]:
        """List the networks that there are."""
        return [p for p in (self.unet, self.autoencoder, self.text, self.text_2) if p]

    def files(self) -> list[Path]:
        """List every file whose change makes this another model."""
        files = [
            path for part in self.parts() for path in (part.weights, part.folder / "config.json")
        ]
        return files + ([self.lora] if self.lora else [])


def open_folder(config: EngineConfig) -> ModelFolder:
    """Look a model up and check it. Raises ModelError or ConfigError with a sentence for a user."""
    path = WEIGHTS if config.model == "embedded" else Path(config.model).expanduser()
    if path.suffix in _PICKLES:
        raise ModelError(_pickle_sentence(path))
    if not path.is_dir():
        raise ModelError(
            f"model {config.model!r}: no such folder. Give 'embedded' or the path of a "
            "diffusers-format folder"
        )
    if config.model == "embedded":
        _check_shipped(path)
    index = _json(path / "model_index.json")
    own_vae = Path(config.autoencoder).expanduser() if config.autoencoder else None
    lora = Path(config.lora).expanduser() if config.lora else None
    if lora is not None:
        _check_weights(lora)
    folder = ModelFolder(
        name=config.model if config.model == "embedded" else path.name,
        path=path,
        unet=_part("unet", path / "unet", _listed(path, index, "unet")),
        autoencoder=_part(
            "vae", own_vae or path / "vae", None if own_vae else _listed(path, index, "vae")
        ),
        text=_part("text_encoder", path / "text_encoder", _listed(path, index, "text_encoder")),
        text_2=_second_text(path, index),
        scheduler=_scheduler(path, index),
        lora=lora,
        presets=_presets(path / "styles.json"),
    )
    try:
        _check_fit(folder)
        for part in folder.parts():
            check_weights(part.name, part.class_name, part.config, part.weights)
        _ = folder.words_shape, folder.scaling_factor, folder.downscale
    except (TypeError, ValueError, AttributeError, OverflowError) as error:
        raise ModelError(
            f"{path}: a value in config.json of unet, vae or text_encoder is of a wrong kind; "
            "restore it"
        ) from error
    except KeyError as error:
        raise ModelError(
            f"{path}: config.json of unet, vae or text_encoder has no {error}; restore it"
        ) from error
    for name, value in (("width", config.width), ("height", config.height)):
        if value % folder.downscale:
            raise ConfigError(
                f"{name} {value}: {folder.name} needs multiples of {folder.downscale}"
            )
    return folder


def _listed(path: Path, index: dict[str, Any], part: str) -> list[Any] | None:
    found = index.get(part)
    if found is None or (isinstance(found, list) and found):
        return found
    raise ModelError(
        f"{path / 'model_index.json'}: {part} is {found!r}; library and class go there"
    )


def _second_text(path: Path, index: dict[str, Any]) -> Part | None:
    listed = _listed(path, index, "text_encoder_2")
    if not listed or listed[-1] is None:
        return None
    return _part("text_encoder_2", path / "text_encoder_2", listed)


def _scheduler(path: Path, index: dict[str, Any]) -> dict[str, Any]:
    config = _json(path / "scheduler" / "scheduler_config.json")
    if index.get("_class_name") == "RectifiedFlowPipeline":
        return config | {"_class_name": RECTIFIED}
    return config


def _part(name: str, folder: Path, listed: list[Any] | None) -> Part:
    if not folder.is_dir():
        raise ModelError(f"{name}: folder {folder} is missing")
    config = {} if name == "text_encoder" and listed is None else _json(folder / "config.json")
    class_name = listed[-1] if listed else str(config.get("_class_name", ""))
    if class_name not in CLASSES[name]:
        raise ModelError(
            f"{name}: class {class_name!r} in {folder.parent / 'model_index.json'}; "
            f"this engine loads {', '.join(CLASSES[name])}"
        )
    weights = _find_weights(name, folder)
    _check_weights(weights)
    return Part(name, class_name, folder, weights, config)


def _find_weights(name: str, folder: Path) -> Path:
    for candidate in _WEIGHT_NAMES[name]:
        if (folder / candidate).is_file():
            return folder / candidate
    pickles = [path for path in sorted(folder.iterdir()) if path.suffix in _PICKLES]
    if pickles:
        raise ModelError(_pickle_sentence(pickles[0]))
    raise ModelError(f"{name}: no {_WEIGHT_NAMES[name][0]} in {folder}")


def _check_weights(path: Path) -> None:
    if path.suffix in _PICKLES:
        raise ModelError(_pickle_sentence(path))
    try:
        with safe_open(path, framework="np"):
            pass
    except (SafetensorError, OSError) as error:
        raise ModelError(f"{path}: damaged or no safetensors file; restore it") from error


def _check_shipped(path: Path) -> None:
    """Compare the shipped files with their checksums: a wrong byte shows as a wrong picture."""
    checksums = path / "checksums.json"
    for name, expected in (_json(checksums) if checksums.exists() else {}).items():
        try:
            found = hashlib.sha256((path / name).read_bytes()).hexdigest()
        except OSError:
            found = ""
        if found != expected:
            raise ModelError(
                f"{path / name}: {'damaged' if found else 'missing'}. It ships with Restyle; "
                f"restore it with: git checkout -- pipeline/embedded/weights/{name}"
            )


def _pickle_sentence(path: Path) -> str:
    return (
        f"{path}: a {path.suffix} file can run code when it is opened, so only .safetensors is "
        "loaded; convert it first"
    )


def _json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text())
    except FileNotFoundError as error:
        raise ModelError(f"{path} is missing: not a diffusers-format model folder") from error
    except (ValueError, RecursionError, OSError) as error:
        raise ModelError(f"{path}: not readable as JSON") from error
    if not isinstance(content, dict):
        raise ModelError(f"{path}: a JSON object is expected")
    return content


def _presets(path: Path) -> tuple[Preset, ...]:
    if not path.exists():
        return ()
    try:
        styles = json.loads(path.read_text())
        return tuple(_preset(style, path.parent / "thumbnails") for style in styles)
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(f"{path}: a list of objects with name and prompt is expected") from error


def thumbnail_name(style: str) -> str:
    """Give the file name of a style's small picture in the folder `thumbnails` of a model."""
    return f"{style.lower().replace(' ', '-')}.webp"


def _preset(style: dict[str, Any], thumbnails: Path) -> Preset:
    name = str(style["name"])
    thumbnail = thumbnails / thumbnail_name(name)
    return Preset(
        name, style["prompt"], tuple(style.get("examples", ())),
        thumbnail if thumbnail.is_file() else None,
    )  # fmt: skip


def _check_fit(folder: ModelFolder) -> None:
    latent, unet = folder.latent_channels, folder.unet.config
    if unet["in_channels"] not in (latent, 2 * latent):
        raise ModelError(
            f"unet takes {unet['in_channels']} channels, vae gives {latent}: "
            f"{latent} or {2 * latent} would fit"
        )
    if unet["out_channels"] != latent:
        raise ModelError(f"unet gives {unet['out_channels']} channels, vae takes {latent}")
    for field in _OTHER_SCALING:
        if value := folder.autoencoder.config.get(field):
            raise ModelError(
                f"vae: {field} {value!r} in config.json; this engine scales latents by "
                "scaling_factor only"
            )
    wanted = unet["cross_attention_dim"]
    given = folder.text.config.get("dim") or folder.text.config["hidden_size"]
    second = folder.text_2.config if folder.text_2 else {}
    given += second.get("hidden_size", 0)
    if wanted != given:
        encoders = "text_encoder and text_encoder_2 give" if second else "text_encoder gives"
        raise ModelError(f"unet expects text of width {wanted}, {encoders} {given}")
    tokens = [p.config["max_position_embeddings"] for p in folder.parts() if "CLIP" in p.class_name]
    if len(set(tokens)) > 1:
        raise ModelError(f"text_encoder gives {tokens[0]} tokens, text_encoder_2 {tokens[1]}")
    kind = unet.get("addition_embed_type")
    if kind not in (None, "text", "text_time"):
        raise ModelError(f"unet: addition_embed_type {kind!r}; this engine knows text, text_time")
    if kind == "text_time":
        _check_pooled(unet, second)


def _check_pooled(unet: dict[str, Any], second: dict[str, Any]) -> None:
    if not second:
        raise ModelError("unet expects the pooled text of text_encoder_2, which is missing")
    times = 6 * unet["addition_time_embed_dim"]
    wanted, pooled = unet["projection_class_embeddings_input_dim"], second["projection_dim"]
    if wanted != times + pooled:
        raise ModelError(
            f"unet expects pooled text of width {wanted - times}, text_encoder_2 gives {pooled}"
        )
