"""Building an engine from a process that has no need of torch itself until then."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from pipeline.config import EngineConfig

if TYPE_CHECKING:
    from pipeline.engine import Engine


def build(config: EngineConfig, progress: Callable[[str], None]) -> "Engine":
    """See `pipeline.engine.build_engine`; importing torch is part of it, and takes seconds."""
    progress("loading PyTorch")
    from pipeline.engine import build_engine

    return build_engine(config, progress)
