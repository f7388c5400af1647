"""The one way by which weights get into memory. Never a pickle, never a model hub."""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from pipeline.errors import ModelError
from pipeline.models.fit import first_misfit
from pipeline.models.folder import ModelFolder, Part
from pipeline.models.parts import Decoder, Denoiser, Encoder
from pipeline.prompts import TextEncoder


def load_autoencoder(folder: ModelFolder) -> tuple[Encoder, Decoder]:
    """Load the autoencoder, both halves. Raises ModelError."""
    network = _load(folder.autoencoder)
    factor = folder.scaling_factor
    return Encoder(network, factor).eval(), Decoder(network, factor).eval()


def load_denoiser(folder: ModelFolder, width: int, height: int, fuse: bool = True) -> Denoiser:
    """Load the UNet, with the LoRA added where there is one, for pictures of a size.

    Raises ModelError. See Denoiser for `fuse`.
    """
    network = _load(folder.unet)
    if folder.lora is not None:
        add_lora(network, folder.lora)
    return Denoiser(network, (height, width), fuse).eval()


def outline_denoiser(folder: ModelFolder, width: int, height: int) -> Denoiser:
    """Give a denoiser's layers and their shapes, on PyTorch's device `meta`: no weight is read."""
    part = folder.unet
    with _named(part), torch.device("meta"):
        return Denoiser(_outline(part), (height, width))


def outline_autoencoder(folder: ModelFolder) -> tuple[Encoder, Decoder]:
    """Give both halves' layers and their shapes, as `outline_denoiser` does."""
    part = folder.autoencoder
    with _named(part), torch.device("meta"):
        network = _outline(part)
    return Encoder(network, folder.scaling_factor), Decoder(network, folder.scaling_factor)


def load_text(folder: ModelFolder, device: torch.device) -> TextEncoder:
    """Load the text encoder; it gives [texts, tokens, dim] in fp32 on `device`.

    Raises ModelError.
    """
    if folder.text.class_name == "StaticTextEncoder":
        from pipeline.models.static_text import StaticTextEncoder

        with _named(folder.text):
            static = StaticTextEncoder.from_pretrained(folder.text.folder)

        def judge(words: Tensor) -> list[float]:
            shares: list[float] = static.judge(words.cpu()).softmax(1)[0].tolist()
            return shares

        return TextEncoder(
            lambda texts: static.encode(*texts).to(device), judge if static.styles else None
        )
    first = _Clip(folder, folder.text, "tokenizer", device)
    if folder.text_2 is None:
        return TextEncoder(lambda texts: first(texts).last_hidden_state)
    second = _Clip(folder, folder.text_2, "tokenizer_2", device)
    return TextEncoder(lambda texts: _both(first(texts), second(texts)))


class _Clip:
    """One CLIP text encoder with its tokenizer."""

    def __init__(
        self, folder: ModelFolder, part: Part, tokenizer: str, device: torch.device
    ) -> None:
        import transformers  # seconds to import: only where needed

        if not (folder.path / tokenizer).is_dir():
            raise ModelError(f"{tokenizer}: folder {folder.path / tokenizer} is missing")
        with _named(part):
            self._tokenizer = transformers.CLIPTokenizer.from_pretrained(  # nosec B615 - a folder here
                folder.path / tokenizer, local_files_only=True
            )
            self._network, found = getattr(transformers, part.class_name).from_pretrained(
                part.folder, local_files_only=True, use_safetensors=True, dtype=torch.float32,
                variant=_variant(part.weights), output_loading_info=True,
            )  # fmt: skip
            _check_found(found, "missing_keys")  # old folders hold a position_ids nobody needs
            self._network.eval().to(device)
        self._device = device

    @torch.inference_mode()
    def __call__(self, texts: Sequence[str]) -> Any:  # transformers' output, hidden states included
        ids = self._tokenizer(
            list(texts), padding="max_length", truncation=True, return_tensors="pt",
            max_length=self._network.config.max_position_embeddings,
        ).input_ids  # fmt: skip
        return self._network(ids.to(self._device), output_hidden_states=True)


def _both(one: Any, other: Any) -> Tensor:
    """Join SDXL's encoders: their last but one layers side by side, the pooled vector below."""
    words = torch.cat([one.hidden_states[-2], other.hidden_states[-2]], -1)
    pooled = other.text_embeds[:, None]
    room = words.shape[-1] - pooled.shape[-1]
    return torch.cat([words, torch.nn.functional.pad(pooled, (0, room))], 1)


def add_lora(unet: nn.Module, path: Path) -> int:
    """Add a LoRA to the weights once and for all; gives how many layers it changed.

    Understands the names of kohya (lora_unet_…lora_down, as LCM-LoRA has) and of peft
    (unet.….lora_A). Raises ModelError for a layer the UNet does not have.
    """
    flat = {name.replace(".", "_"): module for name, module in unet.named_modules()}
    pairs: dict[str, dict[str, Tensor]] = {}
    for key, value in load_file(path).items():
        layer, _, kind = _lora_name(key)
        if layer:
            pairs.setdefault(layer, {})[kind] = value.float()
    if not pairs:
        raise ModelError(f"{path}: no LoRA for a UNet in it")
    for layer, parts in pairs.items():
        module = flat.get(layer)
        if not isinstance(module, nn.Linear | nn.Conv2d) or not {"down", "up"} <= parts.keys():
            raise ModelError(f"{path}: layer {layer} does not fit this UNet")
        try:
            change = _lora_change(parts).view(module.weight.shape)
        except RuntimeError as error:
            given = f"{list(parts['up'].shape)} × {list(parts['down'].shape)}"
            raise ModelError(
                f"{path}: layer {layer} does not fit this UNet: it changes {given}, "
                f"the UNet's has {list(module.weight.shape)}"
            ) from error
        module.weight.data += change.to(module.weight.dtype)
    return len(pairs)


def _lora_change(parts: dict[str, Tensor]) -> Tensor:
    down, up = parts["down"], parts["up"]
    rank = down.shape[0]
    scale = float(parts.get("alpha", torch.tensor(float(rank)))) / rank
    return scale * (up.flatten(1) @ down.flatten(1))


def _lora_name(key: str) -> tuple[str, str, str]:
    kinds = {
        ".lora_down.weight": "down", ".lora_A.weight": "down",
        ".lora_up.weight": "up", ".lora_B.weight": "up", ".alpha": "alpha",
    }  # fmt: skip
    for ending, kind in kinds.items():
        for start in ("lora_unet_", "unet."):
            if key.startswith(start) and key.endswith(ending):
                layer = key[len(start) : -len(ending)].replace(".", "_")
                return layer, ending, kind
    return "", "", ""


def _load(part: Part) -> Any:  # diffusers ships no types
    with _named(part):
        network, found = _class(part.class_name).from_pretrained(
            part.folder,
            local_files_only=True,
            use_safetensors=True,
            low_cpu_mem_usage=False,
            variant=_variant(part.weights),
            torch_dtype=torch.float32,
            output_loading_info=True,
        )
        _check_found(found, "missing_keys", "unexpected_keys")
        network.requires_grad_(False)
        return network


def _check_found(found: dict[str, Any], *kinds: str) -> None:
    """Refuse weights with holes: the libraries fill them with noise and only log it."""
    for kind in kinds:
        if found[kind]:
            raise ValueError(f"{kind}: {sorted(found[kind])[:3]}")


def _class(name: str) -> Any:  # diffusers ships no types
    if name == "PatchAutoencoder":
        from pipeline.models.patch_autoencoder import PatchAutoencoder

        return PatchAutoencoder
    import diffusers  # seconds to import: only where a network is really built

    return getattr(diffusers, name)


def _variant(weights: Path) -> str | None:
    return "fp16" if weights.name.endswith(".fp16.safetensors") else None


class _named:
    """Turn what a library raises about a part into a sentence that names it."""

    def __init__(self, part: Part) -> None:
        self._part = part

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, OSError | ValueError | RuntimeError | KeyError | SafetensorError):
            misfit = _misfit(self._part)
            raise ModelError(
                f"{self._part.name}: the weights in {self._part.weights} do not fit "
                f"{self._part.folder / 'config.json'}{f': {misfit}' if misfit else ''}"
            ) from error


def _misfit(part: Part) -> str | None:
    """Say which weight does not fit a part's config; None where that makes no network at all."""
    with suppress(Exception), torch.device("meta"):  # that it cannot be loaded is known already
        network = _outline(part)
        return first_misfit(
            {n: tuple(v.shape) for n, v in network.state_dict().items()}, part.weights
        )
    return None


def _outline(part: Part) -> Any:  # neither library ships types
    """Make a part's network by its config alone."""
    if not part.class_name.startswith("CLIP"):
        return _class(part.class_name).from_config(part.config)
    import transformers

    config = transformers.CLIPTextConfig(**part.config)
    return getattr(transformers, part.class_name)(config)
