"""Live figures of one session: cheap to count, computed when asked."""

import time
from collections import deque
from dataclasses import dataclass
from typing import Protocol

_WINDOW = 5.0  # seconds that rates and percentiles cover
_KEPT = 600  # events: 5 s at 120 fps


@dataclass(frozen=True, slots=True)
class Figures:
    """A snapshot. Rates and percentiles cover the last five seconds."""

    fps_in: float
    fps_out: float
    frames_in: int
    frames_out: int
    skipped: int
    age_p50_ms: float | None
    age_p95_ms: float | None
    stages_ms: dict[str, float]  # mean of each
    flicker: float | None  # median; None: nothing stood still


class Counts(Protocol):
    """Where a session's connections count what came in and went out."""

    def came_in(self) -> None:
        """Count an input frame."""
        ...

    def went_out(
        self,
        age_ms: float,
        stages_ms: dict[str, float],
        skipped: bool = False,
        flicker: float | None = None,
    ) -> None:
        """Count an output frame, its input's age, what it was spent on and how it flickered."""
        ...


class SessionStats:
    """Counts frames in and out. Written on the loop only, read on the loop only."""

    def __init__(self) -> None:
        self.frames_in = 0
        self.frames_out = 0
        self.skipped = 0
        self._age_ms: float | None = None  # smoothed over about five frames
        self.last_in = 0.0  # time.monotonic() of the newest input frame
        self._in: deque[float] = deque(maxlen=_KEPT)
        self._out: deque[tuple[float, float, dict[str, float]]] = deque(maxlen=_KEPT)
        self._flicker: deque[tuple[float, float]] = deque(maxlen=_KEPT)

    def came_in(self) -> None:
        """Count an input frame."""
        self.frames_in += 1
        self.last_in = time.monotonic()
        self._in.append(self.last_in)

    def went_out(
        self,
        age_ms: float,
        stages_ms: dict[str, float],
        skipped: bool = False,
        flicker: float | None = None,
    ) -> None:
        """Count an output frame, its input's age, what it was spent on and how it flickered."""
        self.frames_out += 1
        self._age_ms = age_ms if self._age_ms is None else 0.8 * self._age_ms + 0.2 * age_ms
        self.skipped += skipped
        self._out.append((time.monotonic(), age_ms, stages_ms))
        if flicker is not None:
            self._flicker.append((time.monotonic(), flicker))

    def age(self) -> float | None:
        """Give about how old pictures are when they are sent, in seconds; None before the first."""
        return None if self._age_ms is None else self._age_ms / 1000

    def figures(self) -> Figures:
        """Compute rates and percentiles."""
        since = time.monotonic() - _WINDOW
        arrivals = [at for at in self._in if at > since]
        recent = [entry for entry in self._out if entry[0] > since]
        ages = sorted(age for _, age, _ in recent)
        return Figures(
            _rate(arrivals),
            _rate([at for at, _, _ in recent]),
            self.frames_in,
            self.frames_out,
            self.skipped,
            _percentile(ages, 0.5),
            _percentile(ages, 0.95),
            _means([stages for _, _, stages in recent]),
            _percentile(sorted(value for at, value in self._flicker if at > since), 0.5),
        )


def _rate(times: list[float]) -> float:
    if len(times) < 2 or time.monotonic() - times[-1] > 1:
        return 0.0
    return round((len(times) - 1) / (times[-1] - times[0]), 2)


def _percentile(ordered: list[float], share: float) -> float | None:
    return round(ordered[round(share * (len(ordered) - 1))], 2) if ordered else None


def _means(entries: list[dict[str, float]]) -> dict[str, float]:
    names = {name: None for entry in entries for name in entry}  # keeps the order of stages
    found = {name: [entry[name] for entry in entries if name in entry] for name in names}
    return {name: round(sum(values) / len(values), 2) for name, values in found.items()}
