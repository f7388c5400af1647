"""What hardly anything can pass: the rate of copies, and a UNet's costly calls one by one.

Of the same run and precision as the arms; after performance.md section 9.1, E.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.overrides import TorchFunctionMode

from pipeline.backends.protocol import Networks
from pipeline.comparison.measuring import timed
from pipeline.comparison.subject import Subject

_COSTLY = (functional.linear, functional.conv2d, functional.scaled_dot_product_attention)
_KERNELS = (
    SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.CUDNN_ATTENTION,
    SDPBackend.MATH,
)  # fmt: skip
_COPIED = {"cuda": 1 << 30, "cpu": 1 << 26}  # bytes: more than caches hold
_TURNS = 5
_IN_A_ROW = 20  # calls of one launch on a GPU: one alone may be over before the next is launched
Call = tuple[Callable[..., Any], tuple[Any, ...], tuple[tuple[str, Any], ...]]


def copy_rate(subject: Subject) -> float:
    """Give the bytes a second, read and written, of a copy within the device's memory."""
    count = _COPIED[subject.device.type]
    source = torch.randint(0, 255, (count,), dtype=torch.uint8, device=subject.device)
    target = torch.empty_like(source)
    return 2 * count / (timed(lambda: target.copy_(source), subject.device, 10) / 1000)


def unet_floor(
    networks: Networks, subject: Subject, channels: int, prompt: Float[Tensor, "1 s k"], rows: int
) -> float:
    """Give the milliseconds of a UNet call's convolutions, products and attention by themselves.

    Each distinct one is timed alone with the best that the libraries have for it, its inputs warm,
    and counts as often as it is called. `networks` are eager PyTorch.
    """
    latent = subject.height // 8, subject.width // 8  # as SUBJECTS' autoencoders have it
    noisy = torch.randn(rows, channels, *latent, device=subject.device)
    prompts = prompt.expand(rows, -1, -1).contiguous()
    networks.denoise(noisy, [499.0] * rows, prompts)  # from now on the timestep is embedded
    with _Calls() as calls:
        networks.denoise(noisy, [499.0] * rows, prompts)
    with torch.inference_mode():
        times: list[float] = [count * _best(call, subject) for call, count in calls.counts.items()]
    return sum(times)


class _Calls(TorchFunctionMode):
    """Counts costly calls, those with the same shapes as one."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[Call] = Counter()

    def __torch_function__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if func in _COSTLY:
            named = tuple((name, _shape(value)) for name, value in sorted(kwargs.items()))
            self.counts[func, tuple(map(_shape, args)), named] += 1
        return func(*args, **kwargs)


def _shape(value: Any) -> Any:
    """Give a tensor's shape in place of the tensor."""
    return value.shape if isinstance(value, Tensor) else value


def _best(call: Call, subject: Subject) -> float:
    """Give the milliseconds of the fastest way to make a call."""
    taken = []
    for way, run in _ways(call, subject):
        try:
            with way:
                taken.append(_milliseconds(run, subject.device))
        except RuntimeError:  # no such kernel for these shapes
            continue
    return min(taken)


def _ways(
    call: Call, subject: Subject
) -> Iterator[tuple[AbstractContextManager[None], Callable[[], object]]]:
    function, given, named = call
    args = [_random(each, subject) for each in given]
    kwargs = {name: _random(value, subject) for name, value in named}
    if function is functional.scaled_dot_product_attention:
        for kernel in _KERNELS:
            yield sdpa_kernel(kernel), lambda: function(*args, **kwargs)
        return
    yield nullcontext(), lambda: function(*args, **kwargs)
    if call[0] is functional.conv2d:
        last = [
            each.to(memory_format=torch.channels_last)
            if isinstance(each, Tensor) and each.ndim == 4
            else each
            for each in args
        ]
        yield nullcontext(), lambda: function(*last, **kwargs)


def _random(value: Any, subject: Subject) -> Any:
    if not isinstance(value, torch.Size):
        return value
    return torch.randn(value, device=subject.device, dtype=subject.dtype)


def _milliseconds(run: Callable[[], object], device: torch.device) -> float:
    if device.type != "cuda":
        return timed(run, device, _TURNS)
    with torch.backends.cudnn.flags(benchmark=True):
        run()  # libraries choose before the capture
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            for _ in range(_IN_A_ROW):
                run()
    return timed(graph.replay, device, _TURNS) / _IN_A_ROW
