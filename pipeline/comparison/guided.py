"""What each type of guidance costs: rows of the UNet, and time."""

from dataclasses import replace
from functools import partial
from typing import Any

from pipeline.comparison.playing import Bench, in_turns
from pipeline.params import StyleParams

_STEPS = 2  # more than one, so that a row at the first step is not a row at each


def guidance(bench: Bench, style: StyleParams, frames: int) -> dict[str, dict[str, Any]]:
    """Give each type's frames a second, rows a frame and time beside none, at two steps."""
    guided = replace(style, steps=_STEPS, guidance_scale=1.5, negative_prompt="neon")
    styles = {
        "none": replace(guided, guidance_scale=1.0),
        "self": replace(guided, guidance="self"),
        "initialize": replace(guided, guidance="initialize"),
        "full": replace(guided, guidance="full"),
    }
    alone = bench.alike(schedule="step-major")
    plays = {kind: partial(alone.play, {"a": each}) for kind, each in styles.items()}
    played = in_turns(plays, frames)
    none = played["none"]
    return {
        kind: {
            "steps": _STEPS,
            "unet_rows_per_frame": round(each.rows / each.frames, 2),
            "fps": round(each.fps, 1),
            "times_as_long_as_none": round(none.fps / each.fps, 2),
        }
        for kind, each in played.items()
    }
