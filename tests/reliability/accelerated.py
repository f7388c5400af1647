"""G1, accelerated: eight hours of frames in minutes, then a camera ten times too fast."""

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator
from typing import Any

import psutil

from tests.reliability.frame_path import SLOW
from tests.reliability.sampling import (
    PAUSE,
    Sample,
    age_drift,
    growth,
    look,
    settled,
    slope,
    stands_still,
)

EIGHT_HOURS = 864_000  # frames, at 30 a second
_LONG, _HOUR = 100_000, 108_000  # frames: from here a slope says more than noise; at 30 a second
_AGE = 250 + 1000 * SLOW  # milliseconds
_SILENCE = 60.0  # seconds after which it hangs
Line = dict[str, Any]
Verdict = tuple[dict[str, Any], dict[str, bool], list[Sample]]


async def accelerated(frames: int, seconds: float) -> Verdict:
    """Send so many frames as fast as they go, then thirty a second for so long to a slow engine.

    Raises RuntimeError or TimeoutError when the process fails or hangs.
    """
    seen: dict[str, tuple[list[Line], list[Sample]]] = {}
    async for line, sample in _watched(frames, seconds):
        lines, samples = seen.setdefault(line["phase"], ([], []))
        lines.append(line)
        samples.append(sample)
    fast, fast_limits = _at_full_speed(frames, *seen["full speed"])
    slow, slow_limits = _throttled(*seen["throttled"])
    pause = seen["throttled"][0][-1]["gc_pause_ms"]
    figures = {"full speed": fast, "throttled": slow, "gc_pause_ms": pause}
    limits = (
        {f"full speed: {name}": kept for name, kept in fast_limits.items()}
        | {f"throttled: {name}": kept for name, kept in slow_limits.items()}
        | {f"garbage is collected within {PAUSE:g} ms": pause <= PAUSE}
    )
    return figures, limits, [sample for _, samples in seen.values() for sample in samples]


def _at_full_speed(
    frames: int, lines: list[Line], samples: list[Sample]
) -> tuple[dict[str, Any], dict[str, bool]]:
    last, grown, drift = lines[-1], growth(samples), age_drift(samples)
    per_frame = slope([(s.frames or 0, s.rss_mb) for s in settled(samples)])
    figures = grown | {
        "frames": last["frames"],
        "fps": round(last["frames"] / (samples[-1].at_s - samples[0].at_s)),
        "rss_slope_mb_per_108000_frames": round(per_frame * _HOUR, 2),
        "age_p95_drift_ms": round(drift, 1),
        "not_inverted": last["wrong"],
    }
    limits = stands_still(grown) | {
        "every frame came": last["frames"] >= 0.99 * frames,
        "every frame was restyled": last["wrong"] == 0,
    }
    if frames >= _LONG:
        limits["rss slope is at most 5 MB in 108,000 frames"] = per_frame * _HOUR <= 5
        limits["age p95 drifts by at most 10 ms"] = drift <= 10
    return figures, limits


def _throttled(lines: list[Line], samples: list[Sample]) -> tuple[dict[str, Any], dict[str, bool]]:
    last, grown = lines[-1], growth(samples)
    age = max(sample.age_p95_ms or 0 for sample in samples)
    figures = grown | {
        "frames": last["frames"],
        "age_p95_ms": age,
        "most_frames_inside": last["most_inside"],
        "not_inverted": last["wrong"],
    }
    limits = stands_still(grown) | {
        f"age p95 is at most {_AGE:.0f} ms": 0 < age <= _AGE,
        "at most two frames are inside": last["most_inside"] <= 2,
        "every frame was restyled": last["wrong"] == 0,
        "rss is flat": grown["rss_growth_mb"] <= 2,
    }
    return figures, limits


async def _watched(frames: int, seconds: float) -> AsyncIterator[tuple[Line, Sample]]:
    """Run the frame path in a process; give each line that it says, and a look at it."""
    path = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.reliability.frame_path", str(frames), str(seconds),
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert path.stdin is not None
    assert path.stdout is not None
    process, began = psutil.Process(path.pid), time.monotonic()
    try:
        while text := await asyncio.wait_for(path.stdout.readline(), _SILENCE):
            line = json.loads(text)
            yield line, _look(process, time.monotonic() - began, line)
            path.stdin.write(b"\n")
        if await path.wait() != 0:
            raise RuntimeError("the frame path failed")
    finally:
        if path.returncode is None:
            path.kill()
            await path.wait()


def _look(process: psutil.Process, at: float, line: Line) -> Sample:
    return look(
        process, at, line["age_p95_ms"], tasks=line["tasks"], frames=line["frames"],
        gc_pause_ms=line["gc_pause_ms"],
    )  # fmt: skip
