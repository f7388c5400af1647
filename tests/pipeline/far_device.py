"""A device that is not there: it reckons as the CPU does, and tells of all that asks it something.

Its tensors say that they are on `DEVICE`. Whoever needs to know what is in one would wait, on a
GPU, for all that is queued before it; here that is noted. Mixing them with tensors of the host is
refused, as by a GPU.
"""

from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

DEVICE = torch.device("meta")  # a kind that every build of PyTorch knows
_SIZED_BY_CONTENTS = (  # a GPU is asked how much there is
    "nonzero", "masked_select", "unique", "_unique2", "unique_consecutive", "bincount",
    "repeat_interleave", "histc", "equal", "_local_scalar_dense", "item", "is_nonzero",
)  # fmt: skip


class FarTensor(Tensor):
    """Stands in for a tensor on a GPU."""

    here: Tensor

    @staticmethod
    def __new__(cls, here: Tensor) -> "FarTensor":
        made: FarTensor = Tensor._make_wrapper_subclass(
            cls, here.size(), strides=here.stride(), storage_offset=here.storage_offset(),
            dtype=here.dtype, device=DEVICE,
        )  # fmt: skip
        made.here = here
        return made

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]  # PyTorch's own stub lacks the function
        cls, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        raise AssertionError(f"{func} outside of FarDevice")


class FarDevice(TorchDispatchMode):  # type: ignore[no-untyped-call]  # PyTorch's own gap
    """While it is entered, `DEVICE` is there; `asked` says what would have waited for it."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # PyTorch's own gap
        self.asked: list[str] = []
        self.ran = 0  # calls on it

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        given = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        far = [each for each in given if isinstance(each, FarTensor)]
        name, to = func.overloadpacket.__name__, kwargs.get("device")
        there = bool(far) if to is None else torch.device(to) == DEVICE
        if to is not None:
            kwargs["device"] = torch.device("cpu")
        if (far and not there) or (far and self._asks(name, args)):
            self.asked.append(name)
        self.ran += bool(far)
        if far and to is None and name != "copy_":
            near = [each for each in given if not isinstance(each, FarTensor) and each.ndim]
            assert not near, f"{name}: on the device and on the host"
        result = func(*tree_map(_unwrapped, args), **tree_map(_unwrapped, kwargs))
        if name.endswith("_") and far:
            return args[0]
        if name == "_local_scalar_dense" or not there:
            return result
        return tree_map(lambda each: FarTensor(each) if isinstance(each, Tensor) else each, result)

    def _asks(self, name: str, args: Any) -> bool:
        if name == "copy_":
            return isinstance(args[1], FarTensor) and not isinstance(args[0], FarTensor)
        if name in ("index", "index_put", "index_put_"):
            return any(each is not None and each.dtype == torch.bool for each in args[1])
        return name in _SIZED_BY_CONTENTS


def _unwrapped(value: Any) -> Any:
    return value.here if isinstance(value, FarTensor) else value
