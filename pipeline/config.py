"""What is fixed while an engine lives: another value is another engine."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pipeline.errors import ConfigError

Device = Literal["auto", "cpu", "cuda"]
BackendName = Literal["auto", "openvino", "eager", "compiled", "graphs", "tensorrt"]
CompileMode = Literal["auto", "default", "reduce-overhead", "max-autotune"]
Precision = Literal["auto", "fp8"]
Size = tuple[int, int]  # width and height in pixels
ScheduleName = Literal["auto", "step-major", "stream-batch"]


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineConfig:
    """Shape and cost of one engine. Built once, read everywhere, never changed."""

    model: str = "embedded"  # "embedded", or a path to a diffusers-format folder
    autoencoder: str | None = None  # a folder that replaces the model's own, e.g. TAESD
    lora: str | None = None  # a .safetensors file fused into the UNet, e.g. LCM-LoRA
    width: int = 256  # pixels
    height: int = 256  # pixels
    device: Device = "auto"
    backend: BackendName = "auto"
    schedule: ScheduleName = "auto"
    threads: int = 0  # inference threads on the CPU; 0: cores - 1
    max_rows: int = 8  # rows of one UNet call
    parallel_rows: int = 1  # of them side by side on a CPU that shares its threads out among them
    feature_bank: int = 0  # 0 .. 4 frames that attention also looks at; 0: none
    feature_fusion: float = 0.0  # 0 .. 1: how far features are drawn to those of the bank
    feature_anchor: bool = False  # the first frame of a look stays in the bank, besides the others
    feature_merge: int = 0  # 0 .. 16: of so many frames one is merged into a bank of 1; 0: a queue
    compile_mode: CompileMode = "auto"  # of the compiled backend: max-autotune on a GPU
    precision: Precision = "auto"  # fp32 on a CPU, fp16 on a GPU; or fp8 there, where it holds
    cache: Path = Path.home() / ".cache" / "restyle"  # converted models

    def __post_init__(self) -> None:
        for name, value in (("width", self.width), ("height", self.height)):
            if value % 8 or not 64 <= value <= 2048:
                raise ConfigError(f"{name} {value}: give a multiple of 8 from 64 to 2048")
        if not 0 <= self.feature_bank <= 4:
            raise ConfigError(f"feature_bank {self.feature_bank}: give 0 to 4 frames")
        if not 0 <= self.feature_fusion <= 1:
            raise ConfigError(f"feature_fusion {self.feature_fusion}: give 0 to 1")
        if self.feature_fusion and not self.feature_bank:
            raise ConfigError(f"feature_fusion {self.feature_fusion}: give feature_bank, too")
        if self.feature_anchor and not self.feature_bank:
            raise ConfigError("feature_anchor: give feature_bank, too")
        if not 0 <= self.feature_merge <= 16:
            raise ConfigError(f"feature_merge {self.feature_merge}: give 0 to 16 frames")
        if self.feature_merge and self.feature_bank != 1:
            raise ConfigError(
                f"feature_merge {self.feature_merge}: a merged bank has the size of one frame; "
                "give feature_bank 1"
            )
        if self.feature_bank and self.backend in ("openvino", "tensorrt"):
            raise ConfigError(
                f"feature_bank {self.feature_bank}: backend {self.backend} runs one program that "
                "keeps no features; give backend eager, compiled or graphs, or feature_bank 0"
            )
        if self.precision == "fp8" and self.backend in ("openvino", "tensorrt"):
            raise ConfigError(
                f"precision fp8: backend {self.backend} chooses its own; give backend eager, "
                "compiled or graphs"
            )
        if not 1 <= self.max_rows <= 64:
            raise ConfigError(f"max_rows {self.max_rows}: give 1 to 64")
        if not 1 <= self.parallel_rows <= self.max_rows:
            raise ConfigError(
                f"parallel_rows {self.parallel_rows}: give 1 to max_rows, {self.max_rows}"
            )
