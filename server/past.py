"""What sessions that are over add up to, so that counters never fall when one leaves."""

from collections import Counter

from server.output_totals import OutputTotals
from server.schema.sessions import Stats


class Past:
    """Sums of ended sessions. Written and read on the loop only."""

    def __init__(self) -> None:
        self.opened = 0
        self.ended: Counter[str] = Counter()  # by reason
        self.frames: Counter[str] = Counter()  # by what became of them
        self.outputs = OutputTotals()  # with those that are open

    def end(self, reason: str, stats: Stats) -> None:
        """Add a session that ends."""
        self.ended[reason] += 1
        self.frames.update(counts(stats))


def counts(stats: Stats) -> dict[str, int]:
    """Give a session's frame counts by the names that /metrics uses."""
    return {
        "in": stats.frames_in,
        "out": stats.frames_out,
        "skipped": stats.skipped,
        "dropped": stats.dropped,
    }
