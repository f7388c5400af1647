"""The ways to run a model's networks, and which one fits a machine."""

from collections.abc import Callable
from dataclasses import replace

import cv2
import torch

from pipeline.backends.compiled import CompiledNetworks
from pipeline.backends.eager import EagerNetworks
from pipeline.backends.float8 import check_precision
from pipeline.backends.graphs import GraphNetworks
from pipeline.backends.openvino import OpenVinoNetworks
from pipeline.backends.protocol import Networks
from pipeline.backends.tensorrt import TensorRtNetworks
from pipeline.config import EngineConfig
from pipeline.cores import available_cores
from pipeline.errors import BackendUnavailable
from pipeline.models.folder import ModelFolder

BACKENDS: dict[str, Callable[[ModelFolder, EngineConfig, Callable[[str], None]], Networks]] = {
    "eager": EagerNetworks,
    "openvino": OpenVinoNetworks,
    "compiled": CompiledNetworks,
    "graphs": GraphNetworks,
    "tensorrt": TensorRtNetworks,
}


def choose_device(config: EngineConfig) -> str:
    """Give `cpu` or `cuda`. Raises BackendUnavailable for a GPU that is not there."""
    if config.device == "cuda" and not torch.cuda.is_available():
        raise BackendUnavailable("device cuda: PyTorch finds no NVIDIA GPU; use cpu or auto")
    if config.device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return config.device


def choose_backend(config: EngineConfig) -> str:
    """Give a key of BACKENDS: OpenVINO on a CPU, eager on a GPU, or what is configured."""
    device = choose_device(config)
    check_precision(config, device)
    if config.backend == "openvino" and device != "cpu":
        raise BackendUnavailable("backend openvino runs on the CPU: set device cpu")
    if config.backend == "graphs" and device != "cuda":
        raise BackendUnavailable("backend graphs needs an NVIDIA GPU: set device cuda on one")
    if config.backend == "auto":
        # on a CPU a feature bank needs eager; a GPU has eager until graphs have run on one
        return "openvino" if device == "cpu" and not config.feature_bank else "eager"
    return config.backend


def make_networks(
    folder: ModelFolder, config: EngineConfig, progress: Callable[[str], None]
) -> Networks:
    """Load a model into the backend that fits; without TensorRT's needs into the next best."""
    torch.set_num_threads(inference_threads(config))
    if choose_device(config) == "cpu":
        # the model wants the cores, and OpenCV's own threads spin while they wait for work
        cv2.setNumThreads(1)
    name = choose_backend(config)
    try:
        return BACKENDS[name](folder, config, progress)
    except BackendUnavailable as error:
        if name != "tensorrt":
            raise
        name = choose_backend(replace(config, backend="auto"))
        progress(f"{error}. Running with backend {name} instead")
    return BACKENDS[name](folder, config, progress)


def inference_threads(config: EngineConfig) -> int:
    """Leave one core to decoding, encoding and the network, where there is more than one."""
    return config.threads or max(1, available_cores() - 1)
