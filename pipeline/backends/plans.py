"""Plans of TensorRT on disk: made for one model, size, version and GPU, good for nothing else."""

import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import TypeVar

import torch

from pipeline.config import EngineConfig
from pipeline.errors import BackendUnavailable
from pipeline.models.folder import ModelFolder

T = TypeVar("T")
NETWORKS = ("encoder", "denoiser", "decoder")
_FORMAT = 2  # raise when parts.py, conditioning.py or precisions change what is compiled
_FACTS = "facts.json"


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything that a plan depends on. Another value of any makes it useless."""

    model: str  # SHA-256 of the weights and configs
    width: int
    height: int
    max_rows: int
    gpu: str  # its name
    capability: str  # compute capability: 9.0 for an H100
    tensorrt: str  # version
    torch: str
    diffusers: str  # whose code is what is compiled
    format: int = _FORMAT

    @property
    def key(self) -> str:
        """Name them in a file name."""
        return hashlib.sha256(json.dumps(asdict(self)).encode()).hexdigest()[:16]


def read_facts(
    folder: ModelFolder, config: EngineConfig, gpu: str, capability: tuple[int, int], version: str
) -> Facts:
    """Gather what a plan depends on; reads all weights once."""
    return Facts(
        _hash(folder.files()), config.width, config.height, config.max_rows,
        gpu, ".".join(map(str, capability)), version, torch.__version__,
        metadata.version("diffusers"),
    )  # fmt: skip


def find_or_build(
    cache: Path,
    name: str,
    facts: Facts,
    build: Callable[[Path], None],
    load: Callable[[bytes], T | None],
) -> dict[str, T]:
    """Load the plans that were made for just these facts; `build` writes them into a folder.

    What is there for other facts, is incomplete, was changed since, or for which `load` gives
    nothing, is built anew. Raises BackendUnavailable where plans cannot be kept, or new ones be
    loaded.
    """
    place = cache / "tensorrt" / f"{name}-{facts.key}"
    found = _load(place, facts, load)
    if found is None:
        try:
            _build(place, facts, build)
        except OSError as error:
            raise BackendUnavailable(
                f"TensorRT's plans cannot be kept in {place}: {error}"
            ) from error
        found = _load(place, facts, load)
    if found is None:
        raise BackendUnavailable("TensorRT refuses plans that it built just now; its log says why")
    return found


def _build(place: Path, facts: Facts, build: Callable[[Path], None]) -> None:
    place.mkdir(parents=True, exist_ok=True)
    (place / _FACTS).unlink(missing_ok=True)
    build(place)
    sums = {plan: _sum((place / f"{plan}.plan").read_bytes()) for plan in NETWORKS}
    partial = place / f"{_FACTS}.{os.getpid()}"
    partial.write_text(json.dumps({"facts": asdict(facts), "sha256": sums}, indent=2))
    partial.rename(place / _FACTS)  # last: a folder with it is complete


def _load(place: Path, facts: Facts, load: Callable[[bytes], T | None]) -> dict[str, T] | None:
    plans = _read(place, facts)
    loaded: dict[str, T] = {}
    for name, plan in (plans or {}).items():
        if (each := load(plan)) is None:
            return None
        loaded[name] = each
    return loaded or None


def _read(place: Path, facts: Facts) -> dict[str, bytes] | None:
    try:
        said = json.loads((place / _FACTS).read_text())
        plans = {plan: (place / f"{plan}.plan").read_bytes() for plan in NETWORKS}
        sums = {plan: _sum(content) for plan, content in plans.items()}
        return plans if said == {"facts": asdict(facts), "sha256": sums} else None
    except (OSError, ValueError):
        return None


def _sum(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _hash(paths: list[Path]) -> str:
    total = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            total.update(hashlib.file_digest(file, "sha256").digest())
    return total.hexdigest()
