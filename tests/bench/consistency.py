"""`make bench-consistency`: what each part does for a steady picture, alone and together.

python -m tests.bench.consistency [--frames 60] [--start 0] [--docs docs]

Writes build/consistency.json, and into docs: consistency.md, consistency.png, consistency.webp.
"""

import argparse
import inspect
import itertools
import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image as Pillow
from PIL import ImageDraw

from pipeline.config import EngineConfig
from pipeline.engine import Engine, Image, build_engine
from pipeline.flicker import FlickerMeter
from pipeline.metrics import Consistency
from pipeline.params import StyleParams
from streams.convert import to_rgb
from streams.sources.file import FileSource
from tests.bench.__main__ import machine

CLIP = Path(__file__).parents[1] / "fixtures" / "webcam.mp4"
BASE = StyleParams(prompt="an oil painting")
DEFLICKER, FILTER = 0.75, 0.98
BASELINE, EVERYTHING, UNSKIPPED = "fixed noise", "all", "all but the filter"
PARTS: dict[str, StyleParams] = {
    BASELINE: BASE,
    "warped noise": replace(BASE, noise="warped"),
    "fresh noise": replace(BASE, noise="fresh"),
    "deflicker": replace(BASE, deflicker=DEFLICKER),
    "similarity filter": replace(BASE, similarity_filter=FILTER),
    UNSKIPPED: replace(BASE, noise="warped", deflicker=DEFLICKER),
    EVERYTHING: replace(BASE, noise="warped", deflicker=DEFLICKER, similarity_filter=FILTER),
}
# the bank needs the eager backend, so that backend has a baseline of its own
BANKS: dict[str, dict[str, Any]] = {
    "fixed noise, eager": {"backend": "eager"},
    "feature bank, 1 frame": {"feature_bank": 1},
    "feature bank, 4 frames": {"feature_bank": 4},
    "bank of 1 and fusion": {"feature_bank": 1, "feature_fusion": 0.75},
}
# figure → how a column is named; all but the last two: less is better
COLUMNS = {
    "warp_error_1": "warp error, 1 frame",
    "warp_error_5": "5 frames",
    "warp_error_30": "30 frames",
    "flicker": "flicker × 10⁴",
    "still": "live meter",
    "tof": "tOF, px",
    "motion_ratio": "motion ratio",
    "sharpness_ratio": "sharpness ratio",
}
PLOTTED = {
    "warp_error_1": "warp error, 1 frame",
    "warp_error_30": "warp error, 30 frames",
    "flicker": "flicker",
    "still": "live meter",
}
_MOST_BYTES = 1_000_000


def read(frames: int, start: int, side: int) -> list[Image]:
    """Give frames of the clip at the engine's size."""
    source = FileSource(CLIP)
    try:
        wanted = itertools.islice(source, start, start + frames)
        return [to_rgb(picture, side, side) for picture in wanted]
    finally:
        source.close()


def restyle(
    engine: Engine, sources: Sequence[Image], params: StyleParams
) -> tuple[list[Image], float]:
    """Restyle frames one after another, as one camera at 25 fps would send them.

    Also gives the median milliseconds that the UNet took.
    """
    shown, times = [], []
    engine.open("bench")
    for number, image in enumerate(sources):
        engine.submit("bench", number, image, params, number / 25)
        while engine.in_flight:
            for result in engine.tick():
                shown.append(result.image)
                times += [] if result.skipped else [result.stages_ms["unet"]]
    engine.close("bench")
    return shown, float(np.median(times))


def judge(sources: Sequence[Image], shown: Sequence[Image]) -> dict[str, float]:
    """Measure one stylized clip."""
    found, meter, still = Consistency(), FlickerMeter(), []
    for pair in zip(sources, shown, strict=True):
        found.add(*pair)
        figure = meter.measure(*pair)
        still += [] if figure is None else [figure]
    repeats = sum(np.array_equal(a, b) for a, b in itertools.pairwise(shown))
    more = {"still": round(float(np.mean(still)), 4) if still else float("nan")}
    return found.figures() | more | {"repeated_frames": float(repeats)}


def measure(frames: int, start: int) -> tuple[dict[str, Any], list[Image], dict[str, list[Image]]]:
    """Run every part; give the figures, the input and what came out."""
    with tempfile.TemporaryDirectory() as cache:

        def build(**changes: Any) -> Engine:
            return build_engine(EngineConfig(cache=Path(cache), **changes), lambda step: None)

        usual = build()
        sources = read(frames, start, usual.config.width)
        runs = [(name, usual, params) for name, params in PARTS.items()]
        runs += [(name, build(**changes), BASE) for name, changes in BANKS.items()]
        shown, figures = {}, {}
        for name, engine, params in runs:
            print(f"{name} …", file=sys.stderr)
            shown[name], ms = restyle(engine, sources, params)
            figures[name] = judge(sources, shown[name]) | {"unet_ms": round(ms, 2)}
    sharpest = figures[BASELINE]["sharpness"]
    for found in figures.values():
        found["sharpness_ratio"] = round(found["sharpness"] / sharpest, 3)
    facts = {
        "machine": machine(), "clip": CLIP.name, "frames": len(sources), "start": start,
        "prompt": BASE.prompt, "deflicker": DEFLICKER, "similarity_filter": FILTER,
        "parts": figures,
    }  # fmt: skip
    return facts, sources, shown


def change(found: dict[str, float], base: dict[str, float], column: str) -> float:
    """Give a figure's change against fixed noise in percent."""
    return 100 * (found[column] / base[column] - 1)


def table(facts: dict[str, Any]) -> str:
    """Write the figures as a Markdown table, changes in percent."""
    parts, base = facts["parts"], facts["parts"][BASELINE]
    names = list(COLUMNS)
    lines = ["| | " + " | ".join(COLUMNS.values()) + " | repeated frames |"]
    lines.append("|---|" + "---|" * (len(names) + 1))
    for part, found in parts.items():
        cells = []
        for name in names:
            cell = f"{found[name]:.2f}"
            if part != BASELINE and not name.endswith("ratio"):
                cell += f" ({change(found, base, name):+.0f}%)"
            cells.append(cell)
        lines.append(f"| {part} | {' | '.join(cells)} | {found['repeated_frames']:.0f} |")
    floor = [f"{base[f'{n}_input']:.2f}" if f"{n}_input" in base else "" for n in names]
    lines.append(f"| *the input itself* | {' | '.join(floor)} | |")
    return "\n".join(lines)


def write_table(facts: dict[str, Any], target: Path) -> None:
    """Put the table between the marks of the document; the words round it stay."""
    text = target.read_text()
    before, rest = text.split("<!-- table -->")
    after = rest.split("<!-- end -->")[1]
    made = (
        f"{facts['frames']} frames of `{facts['clip']}` from frame {facts['start']} on, "
        f"“{facts['prompt']}”, deflicker {facts['deflicker']}, "
        f"similarity filter {facts['similarity_filter']}, {facts['machine']['cpu']}.\n"
    )
    target.write_text(f"{before}<!-- table -->\n{made}\n{table(facts)}\n<!-- end -->{after}")


def plot(facts: dict[str, Any], target: Path) -> None:
    """Draw each part's change against fixed noise."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    base = facts["parts"][BASELINE]
    parts = [name for name in facts["parts"] if name != BASELINE]
    figure, axes = pyplot.subplots(1, len(PLOTTED), figsize=(12, 3.6), sharey=True)
    for axis, column in zip(axes, PLOTTED, strict=True):
        changes = [change(facts["parts"][name], base, column) for name in parts]
        colours = ["#2a9d8f" if value <= 0 else "#d1495b" for value in changes]
        bars = axis.barh(parts, changes, color=colours)
        axis.bar_label(bars, [f"{value:+.0f}%" for value in changes], padding=3)
        span = max(abs(value) for value in changes) or 1
        axis.set_xlim(min(0, *changes) - 0.35 * span, max(0, *changes) + 0.35 * span)
        axis.axvline(0, color="#333", linewidth=0.8)
        axis.set_title(PLOTTED[column])
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].invert_yaxis()
    figure.suptitle("Change against fixed noise (less is steadier)")
    figure.tight_layout()
    figure.savefig(target, dpi=110)
    pyplot.close(figure)


def compare(shown: dict[str, list[Image]], sources: Sequence[Image], target: Path) -> None:
    """Write the input and three ways to restyle it, side by side, as a film of at most 1 MB."""
    names = (BASELINE, UNSKIPPED, EVERYTHING)
    rows = zip(sources, *(shown[name] for name in names), strict=True)
    films = [Pillow.fromarray(np.hstack(row)) for row in rows]
    for film in films:
        for place, name in enumerate(("input", *names)):
            corner = (place * len(sources[0][0]) + 6, 4)
            ImageDraw.Draw(film).text(corner, name, "white", stroke_width=2, stroke_fill="black")
    for quality in (70, 55, 40, 25, 10):
        films[0].save(
            target, save_all=True, append_images=films[1:], duration=40, loop=0,
            quality=quality, method=4,
        )  # fmt: skip
        if target.stat().st_size <= _MOST_BYTES:
            return
    raise SystemExit(f"{target}: over {_MOST_BYTES} bytes; give fewer --frames")


def main() -> None:
    """Measure, write, print the table."""
    parser = argparse.ArgumentParser(description=inspect.getdoc(sys.modules[__name__]))
    parser.add_argument("--frames", type=int, default=60)
    parser.add_argument("--start", type=int, default=0)
    parser.add_argument("--docs", type=Path, default=Path("docs"))
    arguments = parser.parse_args()
    if arguments.frames < 32:
        parser.error(f"--frames {arguments.frames}: at least 32, for the error over 30 frames")
    facts, sources, shown = measure(arguments.frames, arguments.start)
    result = Path("build/consistency.json")
    result.parent.mkdir(parents=True, exist_ok=True)
    result.write_text(json.dumps(facts, indent=2) + "\n")
    write_table(facts, arguments.docs / "consistency.md")
    plot(facts, arguments.docs / "consistency.png")
    compare(shown, sources, arguments.docs / "consistency.webp")
    print(table(facts))


if __name__ == "__main__":
    main()
