"""PyTorch's networks as files of OpenVINO's, made once and kept on disk.

One conversion serves every size but those at which self-attention looks at fewer tokens. What is
missing while people watch is converted in a process of its own: tracing holds Python's lock for
seconds, in which no frame would pass and the engine would be taken for stuck.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import threading
import time
import warnings
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

import torch
from torch import Tensor, nn

from pipeline.config import EngineConfig
from pipeline.errors import ModelError
from pipeline.models.conditioning import thin_self_attention
from pipeline.models.folder import ModelFolder, open_folder
from pipeline.models.folding import fold_upsampling
from pipeline.models.loader import load_autoencoder, load_denoiser

# OpenVINO's converter reports its use to a web service unless this package cannot be imported.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # None: "not there"

_KEPT_DAYS = 30
_FORMAT = "7"  # raise when parts.py, folding.py or scaling_factor change what is converted
_LAST = "decoder.xml"  # written last


def place(folder: ModelFolder, config: EngineConfig) -> Path:
    """Give the folder of a model's files, which may not be there yet."""
    return config.cache / "openvino" / _key(folder, config)


def is_done(cache: Path) -> bool:
    """Say whether all files are there."""
    return (cache / _LAST).exists()


def first_shapes(folder: ModelFolder, config: EngineConfig) -> dict[str, list[int]]:
    """Give the first input's shape for one row, of the networks that see pictures or latents."""
    latent = [config.height // folder.downscale, config.width // folder.downscale]
    return {
        "encoder": [1, config.height, config.width, 3],
        "denoiser": [1, folder.unet.config["in_channels"], *latent],
        "decoder": [1, folder.latent_channels, *latent],
    }


def _any_size(folder: ModelFolder, config: EngineConfig) -> bool:
    """Say whether one conversion serves every size: SDXL is told its own, and where a level does
    not halve evenly, tracing writes down how it was filled up.
    """
    even = not (config.width % folder.size_step or config.height % folder.size_step)
    return even and folder.text_2 is None


def _stride(folder: ModelFolder, config: EngineConfig) -> int:
    """Say which tokens self-attention looks at, so that they stay about as many as in training."""
    return max(1, int(folder.times_trained(config.width, config.height) + 0.5))


def convert(folder: ModelFolder, config: EngineConfig) -> None:
    """Convert in this process, and forget what nobody has started for a while.

    Raises ModelError when the files cannot be written.
    """
    cache = place(folder, config)
    _convert(folder, config, cache)
    _forget_unused(cache.parent)


def convert_apart(folder: ModelFolder, config: EngineConfig) -> None:
    """Convert in a process of its own, unless the files are there.

    Blocks for seconds, without Python's lock. Raises ModelError, with the last line of what that
    process said.
    """
    if is_done(place(folder, config)):
        return
    given = json.dumps(asdict(config), default=str)
    done = subprocess.run(  # nosec B603
        [sys.executable, "-m", "pipeline.backends.conversion", given, str(os.getpid())],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    if done.returncode or not is_done(place(folder, config)):
        said = done.stderr.strip().splitlines() or [f"its process ended with {done.returncode}"]
        raise ModelError(
            f"{folder.name} could not be converted for {config.width}x{config.height}: {said[-1]}"
        )


def _convert(folder: ModelFolder, config: EngineConfig, cache: Path) -> None:
    """Trace the networks and write them as OpenVINO files."""
    try:
        cache.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _not_written(cache, error) from error
    encoder, decoder = load_autoencoder(folder)
    denoiser = load_denoiser(folder, config.width, config.height)
    if (stride := _stride(folder, config)) > 1:
        thin_self_attention(denoiser.unet, stride)
    fold_upsampling(denoiser)
    fold_upsampling(decoder)
    shapes = first_shapes(folder, config)
    any_size = _any_size(folder, config)
    latents = torch.zeros(*shapes["denoiser"])
    words, at = torch.zeros(1, *folder.words_shape), torch.zeros(1)
    with torch.inference_mode():
        prompt, time = denoiser.text(words), denoiser.time(at)
    examples: dict[str, tuple[nn.Module, tuple[Tensor, ...]]] = {
        "encoder": (encoder, (torch.zeros(*shapes["encoder"], dtype=torch.uint8),)),
        "text": (denoiser.text, (words,)),
        "time": (denoiser.time, (at,)),
        "denoiser": (denoiser, (latents, time, prompt)),
        "decoder": (decoder, (torch.zeros(*shapes["decoder"]),)),
    }
    for name, (network, inputs) in examples.items():
        given = [list(value.shape) for value in inputs]
        if any_size and name in shapes:
            given[0][slice(1, 3) if name == "encoder" else slice(2, 4)] = [-1, -1]
        _convert_one(network, inputs, given, cache / f"{name}.xml")


def _convert_one(
    network: nn.Module, inputs: tuple[Tensor, ...], shapes: list[list[int]], target: Path
) -> None:
    import openvino

    with torch.inference_mode(), warnings.catch_warnings():
        # tracing notes each size that it takes as fixed
        warnings.simplefilter("ignore", torch.jit.TracerWarning)  # type: ignore[attr-defined]
        # traced here: OpenVINO would let torch run and trace it all once more to check itself
        traced = torch.jit.trace(network, inputs, check_trace=False, strict=False)  # type: ignore[no-untyped-call]  # torch has no types here
        model = openvino.convert_model(
            traced, example_input=inputs, input=[openvino.PartialShape(s) for s in shapes]
        )
    partial = target.with_suffix(f".{os.getpid()}.xml")  # two processes may convert at once
    weights = partial.with_suffix(".bin")
    try:
        openvino.save_model(model, partial, compress_to_fp16=True)
        # the weights first: a reader that finds the .xml finds both
        weights.rename(target.with_suffix(".bin"))
        partial.rename(target)
    except (OSError, RuntimeError) as error:  # OpenVINO's own on a disk that is full
        partial.unlink(missing_ok=True)
        weights.unlink(missing_ok=True)
        raise _not_written(target.parent, error) from error


def _not_written(cache: Path, error: Exception) -> ModelError:
    why = error.strerror if isinstance(error, OSError) else "is the disk full?"
    return ModelError(
        f"{cache}: the converted model cannot be written there ({why}); make room, or give another "
        "folder as XDG_CACHE_HOME"
    )


def _forget_unused(cache: Path) -> None:
    """Remove what was converted for models and versions that nobody has started for a while."""
    for folder in cache.iterdir():
        if folder.stat().st_mtime < time.time() - _KEPT_DAYS * 86400:
            shutil.rmtree(folder, ignore_errors=True)


def _key(folder: ModelFolder, config: EngineConfig) -> str:
    """Name what the converted files depend on."""
    size = "any" if _any_size(folder, config) else f"{config.width}x{config.height}"
    facts = [_FORMAT, version("openvino"), size, str(_stride(folder, config))]
    for path in folder.files():
        facts += [str(path.resolve()), str(path.stat().st_size), str(path.stat().st_mtime_ns)]
    digest = hashlib.sha256("\n".join(facts).encode()).hexdigest()[:16]
    return f"{folder.name}-{digest}"


def _end_with(parent: int) -> None:
    """End when the process that asked has ended: nobody waits for the files."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


def _main(given: str, parent: int) -> None:
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    torch.set_num_threads(1)  # the other cores have frames to make
    values = json.loads(given)
    config = EngineConfig(**values | {"cache": Path(values["cache"])})
    convert(open_folder(config), config)


if __name__ == "__main__":
    _main(sys.argv[1], int(sys.argv[2]))
