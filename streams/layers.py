"""Which of a camera's layers is taken, where it sends itself in several sizes at once."""

from collections.abc import Sequence
from typing import Literal

Layer = str | int  # its rid, or its source's number (SSRC) where it has none
_AWAY = 10  # frames that a worse layer has sent since the last of the one that is taken


class LayerChoice:
    """Takes the best layer that comes, each from a key frame on, so that no picture is garbled.

    A layer that sends no more gives way to a worse one. That is counted in frames of the worse one,
    not in seconds: a camera may be slow, or send nothing while nothing moves.
    """

    def __init__(self, best_first: Sequence[Layer]) -> None:
        self._ranks = {layer: rank for rank, layer in enumerate(best_first)}
        self.taken: Layer | None = None
        self._frames: dict[Layer, int] = {}  # of others, since then; of a better one: in all
        self._newest: dict[Layer, int] = {}  # timestamp

    def meet(
        self, layer: Layer, timestamp: int, begins_key: bool
    ) -> Literal["take", "begin", "drop", "ask"]:
        """Say what to do with a packet: hand it on, `begin` with its layer, or drop it.

        `ask`: drop it, and ask for a key frame of its layer.
        """
        if layer == self.taken:
            self._frames = {one: n for one, n in self._frames.items() if self._is_better(one)}
            return "take"
        is_new = timestamp != self._newest.get(layer)
        self._newest[layer] = timestamp
        frames = self._frames[layer] = self._frames.get(layer, 0) + is_new
        if self.taken is not None and not self._is_better(layer) and frames <= _AWAY:
            return "drop"
        if begins_key:
            self.taken = layer
            self._frames, self._newest = {}, {}
            return "begin"
        return "ask" if is_new and frames % _AWAY == 1 else "drop"

    def _is_better(self, layer: Layer) -> bool:
        assert self.taken is not None
        last = len(self._ranks)
        return self._ranks.get(layer, last) < self._ranks.get(self.taken, last)
