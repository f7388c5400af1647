"""What the outputs of all sessions do and add up to, for /metrics. Lives on the loop."""

from collections import Counter
from collections.abc import Callable
from typing import Literal

from server.schema.outputs import OutputKind, OutputState

Count = Literal["frames", "dropped", "bytes", "losses"]


class OutputTotals:
    """Open outputs by kind and state, and sums that never fall when one ends."""

    def __init__(self) -> None:
        self.started: Counter[OutputKind] = Counter()
        self._open: dict[str, Callable[[], OutputState]] = {}
        self._past: Counter[tuple[Count, OutputKind]] = Counter()

    def begin(self, state: Callable[[], OutputState]) -> None:
        """Count an output from now on; `state` says how it does whenever it is asked."""
        now = state()
        self.started[now.kind] += 1
        self._open[now.id] = state

    def end(self, id: str) -> None:
        """Add up an output that is over."""
        last = self._open.pop(id)()
        for count, amount in _counts(last).items():
            self._past[count, last.kind] += amount

    def states(self) -> Counter[tuple[OutputKind, str]]:
        """Give how many outputs there are of each kind and state."""
        return Counter((each.kind, each.state) for each in self._now())

    def counts(self) -> Counter[tuple[Count, OutputKind]]:
        """Give the sums of each kind, of outputs that are over, too."""
        sums = self._past.copy()
        for each in self._now():
            for count, amount in _counts(each).items():
                sums[count, each.kind] += amount
        return sums

    def _now(self) -> list[OutputState]:
        return [state() for state in self._open.values()]


def _counts(state: OutputState) -> dict[Count, int]:
    return {
        "frames": state.frames, "dropped": state.dropped,
        "bytes": state.bytes, "losses": state.losses,
    }  # fmt: skip
