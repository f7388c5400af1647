"""CUDA graphs where there is no GPU: what was captured runs again, on the addresses of then.

As on a GPU a graph keeps no tensor's owner but its own, and one that runs writes over what other
graphs of its pool left: here with what is no number, so that nobody takes it for a result.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

Call = tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any], Any]


class FakeStream(torch.cuda.Stream):
    """Stands in for a CUDA stream where there is no GPU."""

    def __new__(cls, device: torch.device | None = None) -> "FakeStream":
        return object.__new__(cls)

    def __init__(self, device: torch.device | None = None) -> None:
        self.device = torch.device("cpu")

    def wait_stream(self, stream: torch.cuda.Stream) -> None:
        pass


class FakeGraph:
    """Stands in for a CUDA graph; `pool` is the list of all that share its memory."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.pool: list[FakeGraph] = []

    def replay(self) -> None:
        for other in self.pool:
            if other is not self:
                other.spoil()
        for function, given, named, before in self.calls:
            after = function(*given, **named)
            for held, new in zip(tree_leaves(before), tree_leaves(after), strict=True):
                if isinstance(held, Tensor) and held.data_ptr() != new.data_ptr():
                    held.copy_(new)

    def spoil(self) -> None:
        """Write over all that this graph's calls made."""
        for made in self._made():
            made.fill_(torch.nan if made.is_floating_point() else 77)

    def _made(self) -> Iterator[Tensor]:
        for _, given, named, after in self.calls:
            taken = {each.untyped_storage().data_ptr() for each in _tensors((given, named))}
            for each in _tensors(after):
                if each.untyped_storage().data_ptr() not in taken:  # no view, not in place
                    yield each


def _tensors(tree: Any) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor)]


class _Capture(TorchDispatchMode):
    def __init__(self, graph: FakeGraph) -> None:
        super().__init__()
        self._graph = graph

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        self._graph.calls.append((func, args, kwargs or {}, result))
        return result


@contextmanager
def _captured(graph: FakeGraph, pool: list[FakeGraph], stream: FakeStream) -> Iterator[None]:
    graph.pool = pool
    pool.append(graph)
    with _Capture(graph):
        yield


def stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let torch.cuda's graphs and streams be these."""
    monkeypatch.setattr(torch.cuda, "Stream", FakeStream)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: FakeStream())
    monkeypatch.setattr(torch.cuda, "stream", lambda stream: nullcontext())
    monkeypatch.setattr(torch.cuda, "CUDAGraph", FakeGraph)
    monkeypatch.setattr(torch.cuda, "graph", _captured)
    monkeypatch.setattr(torch.cuda, "graph_pool_handle", list)
