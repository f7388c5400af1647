"""Bytes between host and GPU: pinned buffers that stay, and one place each where it is waited."""

import torch
from torch import Tensor


class Upload:
    """Sends arrays to the device, of the shape `[rows, *rest]` or with fewer rows, without waiting
    for them to arrive.
    """

    def __init__(self, shape: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> None:
        self._pinned = torch.empty(shape, dtype=dtype, pin_memory=device.type == "cuda")
        self._there = torch.empty(shape, dtype=dtype, device=device)
        self._sent = _event(device)

    def send(self, value: Tensor) -> Tensor:
        """Copy `value` to the device; what comes back holds until the next call.

        All rows go at once: a second copy through the buffer would wait for what was queued
        between the two.
        """
        if self._sent is not None:
            self._sent.synchronize()  # the copy before may still read the buffer
        count = len(value)
        self._pinned[:count].copy_(value)
        self._there[:count].copy_(self._pinned[:count], non_blocking=True)
        if self._sent is not None:
            self._sent.record()
        return self._there[:count]


class Download:
    """Fetches arrays from the device, of the shape `[rows, *rest]` or with fewer rows."""

    def __init__(self, shape: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> None:
        self._pinned = torch.empty(shape, dtype=dtype, pin_memory=device.type == "cuda")
        self._arrived = _event(device)

    def wait_sync(self, value: Tensor) -> Tensor:
        """Fetch `value`; the only place of a frame that waits for the GPU. Gives a copy."""
        fetched = self._pinned[: len(value)]
        fetched.copy_(value, non_blocking=True)
        if self._arrived is not None:
            self._arrived.record()
            self._arrived.synchronize()
        return fetched.clone()


def send(value: Tensor, device: torch.device) -> Tensor:
    """Copy a host tensor of any shape to a device; never waits for what is queued there."""
    if device.type != "cuda":
        return value.to(device)
    # PyTorch keeps pinned buffers, and gives none out again before its copy is done
    return value.pin_memory().to(device, non_blocking=True)


def _event(device: torch.device) -> torch.cuda.Event | None:
    if device.type != "cuda":
        return None
    return torch.cuda.Event()  # type: ignore[no-untyped-call]  # torch has no types here
