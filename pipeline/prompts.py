"""Prompts as the network sees them: encoded once, kept while they are in use."""

import threading
from collections import OrderedDict
from collections.abc import Callable

from jaxtyping import Float
from torch import Tensor

_KEPT = 256  # texts; 300 kB each at 77 × 1024 in fp32


class Prompts:
    """Remembers what texts encode to. Any thread may ask; a text is encoded once."""

    def __init__(self, encode: Callable[[str], Tensor]) -> None:
        self._encode = encode
        self._kept: OrderedDict[str, Tensor] = OrderedDict()
        self._lock = threading.Lock()  # of what is kept; held for a look only
        self._encoding = threading.Lock()  # tokenizers are not safe to share

    def get(self, text: str) -> Float[Tensor, "1 t d"]:
        """Give a text's embedding; encodes it if need be, which may take a second with CLIP."""
        key = " ".join(text.split())
        kept = self._look_up(key)
        if kept is not None:
            return kept  # never waits for another text's encoding
        with self._encoding:
            kept = self._look_up(key)
            if kept is not None:
                return kept  # another thread was first
            embedded = self._encode(key)
            with self._lock:
                self._kept[key] = embedded
                if len(self._kept) > _KEPT:
                    self._kept.popitem(last=False)
            return embedded

    def _look_up(self, key: str) -> Tensor | None:
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
            return self._kept.get(key)
