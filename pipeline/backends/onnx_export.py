"""PyTorch → ONNX, for compilers that read that."""

import warnings
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from pipeline.errors import BackendUnavailable


def export(
    network: nn.Module, inputs: Mapping[str, Tensor], path: Path, *, any_batch: bool = False
) -> None:
    """Write a network to a file; with `any_batch` for any number of rows.

    Raises BackendUnavailable without the package onnx, or for what it cannot express.
    """
    try:
        import onnx  # noqa: F401  # PyTorch's exporter asks for it at its end
    except ImportError as error:
        raise BackendUnavailable(
            "ONNX export needs the package onnx: pip install 'restyle[tensorrt]'"
        ) from error
    names = list(inputs)
    axes = {name: {0: "rows"} for name in (*names, "result")} if any_batch else None
    with torch.no_grad(), warnings.catch_warnings():
        # tracing notes each size that it takes as fixed: here they are. And it says that there is
        # a newer way, which needs onnxscript besides
        warnings.simplefilter("ignore")
        try:
            torch.onnx.export(
                network, tuple(inputs.values()), str(path), dynamo=False, opset_version=18,
                input_names=names, output_names=["result"], dynamic_axes=axes,
            )  # fmt: skip
        except RuntimeError as error:  # the exporter's own are such
            said = str(error).strip().partition("\n")[0]
            raise BackendUnavailable(f"this model cannot become an ONNX file: {said}") from error
