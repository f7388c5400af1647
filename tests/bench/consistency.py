"""`make bench-consistency`: what each part does for a steady picture, alone and together.

python -m tests.bench.consistency [--frames 60] [--docs docs]

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
from tqdm import tqdm

from pipeline.config import EngineConfig
from pipeline.engine import Engine, build_engine
from pipeline.flicker import FlickerMeter
from pipeline.metrics import Consistency, Motion, motion_between
from pipeline.params import StyleParams
from pipeline.patch_blending import Blending
from pipeline.results import Image
from pipeline.smoothing import Film
from streams.convert import to_rgb
from streams.sources.file import FileSource
from tests.bench.__main__ import machine

CLIP = Path(__file__).parents[1] / "fixtures" / "webcam.mp4"
BASE = StyleParams(prompt="an oil painting", deflicker=0.0)
CLIPS = {"calm": 0, "lively": 690}  # what each part of the clip is, and its first frame
DEFLICKER, FILTER = 1.0, 0.98
BASELINE, STEADY, EVERYTHING = "fixed noise", "deflicker", "all"
BLENDED = "blended with both neighbours"
BLENDED_STEADY = "blended and deflicker"
LATENTS, PICTURE = "deflicker, latents only", "deflicker, picture only"
PARTS: dict[str, StyleParams] = {
    BASELINE: BASE,
    "warped noise": replace(BASE, noise="warped"),
    "fresh noise": replace(BASE, noise="fresh"),
    LATENTS: replace(BASE, deflicker=DEFLICKER),
    PICTURE: replace(BASE, deflicker=DEFLICKER),
    "deflicker, the default": replace(BASE, deflicker=StyleParams().deflicker),
    STEADY: replace(BASE, deflicker=DEFLICKER),
    "deflicker and search": replace(BASE, deflicker=DEFLICKER, deflicker_search=True),
    "motion-aware noise": replace(BASE, motion_noise=1.0),
    "similarity filter": replace(BASE, similarity_filter=FILTER),
    EVERYTHING: replace(
        BASE, noise="warped", deflicker=DEFLICKER, deflicker_search=True, motion_noise=1.0
    ),
}
# part → which of a session's two filters is taken out for it
WITHOUT = {LATENTS: "picture_filter", PICTURE: "deflicker"}
# the bank needs the eager backend, so that backend has a baseline of its own
BANKS: dict[str, dict[str, Any]] = {
    "fixed noise, eager": {"backend": "eager"},
    "feature bank, 1 frame": {"feature_bank": 1},
    "feature bank, 4 frames": {"feature_bank": 4},
    "bank of 1 and anchor": {"feature_bank": 1, "feature_anchor": True},
    "bank of 1 and fusion": {"feature_bank": 1, "feature_fusion": 0.75},
}
BANKED = "calm"  # the one clip that the banks are tried on: eager calls take long
# figure → how a column is named; all but the last three: less is better
COLUMNS = {
    "warp_error_1": "warp error, 1 frame",
    "warp_error_5": "5 frames",
    "warp_error_30": "30 frames",
    "flicker": "flicker × 10⁴",
    "flicker_still": "flicker, still parts",
    "still": "live meter",
    "tof": "tOF, px",
    "motion_ratio": "motion ratio",
    "moving_ratio": "moving parts",
    "sharpness_ratio": "sharpness ratio",
}
PLOTTED = {
    "warp_error_1": "warp error, 1 frame",
    "warp_error_30": "warp error, 30 frames",
    "flicker": "flicker",
}
_MOST_BYTES = 1_000_000
_FAR = 100  # percent, where bars are cut off
_GAIN = 12  # times, that the film shows changes


def read(frames: int, start: int, side: int) -> list[Image]:
    """Give frames of the clip at the engine's size."""
    source = FileSource(CLIP)
    try:
        wanted = itertools.islice(source, start, start + frames)
        return [to_rgb(picture, side, side) for picture in wanted]
    finally:
        source.close()


def restyle(
    engine: Engine, sources: Sequence[Image], params: StyleParams, without: str | None = None
) -> tuple[list[Image], float]:
    """Restyle frames one after another, as one camera at 25 fps would send them.

    `without` names a filter of the session that lets everything pass. Also gives the median
    milliseconds that the UNet took.
    """
    shown, times = [], []
    engine.open("bench")
    if without is not None:
        setattr(engine._sessions["bench"], without, lambda picture, *more: picture)
    for number, image in enumerate(sources):
        engine.submit("bench", number, image, params, number / 25)
        while engine.in_flight:
            for result in engine.tick():
                shown.append(result.image)
                times += [] if result.skipped else [result.stages_ms["unet"]]
    engine.close("bench")
    return shown, float(np.median(times))


class InputMotion:
    """Finds the motion between frames of one clip, each pair once for all parts."""

    def __init__(self) -> None:
        self._known: dict[tuple[int, int], Motion] = {}

    def __call__(self, frame: Image, other: Image) -> Motion:
        key = (id(frame), id(other))  # the clip's frames live as long as this
        if key not in self._known:
            self._known[key] = motion_between(frame, other)
        return self._known[key]


def judge(
    sources: Sequence[Image], shown: Sequence[Image], motion: InputMotion
) -> dict[str, float]:
    """Measure one stylized clip."""
    found, meter, still = Consistency(motion), FlickerMeter(), []
    for pair in zip(sources, shown, strict=True):
        found.add(*pair)
        figure = meter.measure(*pair)
        still += [] if figure is None else [figure]
    repeats = sum(np.array_equal(a, b) for a, b in itertools.pairwise(shown))
    more = {"still": round(float(np.mean(still)), 4) if still else float("nan")}
    return found.figures() | more | {"repeated_frames": float(repeats)}


def add_sharpness_ratios(parts: dict[str, dict[str, float]]) -> None:
    """Compare each part's sharpness with that of fixed noise."""
    sharpest = parts[BASELINE]["sharpness"]
    for found in parts.values():
        found["sharpness_ratio"] = round(found["sharpness"] / sharpest, 3)


def measure(
    frames: int,
) -> tuple[dict[str, Any], dict[str, list[Image]], dict[str, dict[str, list[Image]]]]:
    """Run every part on every clip; give the figures, the inputs and what came out."""
    with tempfile.TemporaryDirectory() as cache:

        def build(**changes: Any) -> Engine:
            return build_engine(EngineConfig(cache=Path(cache), **changes), lambda step: None)

        usual = build()
        runs = [(name, usual, params) for name, params in PARTS.items()]
        runs += [(name, build(**changes), BASE) for name, changes in BANKS.items()]
        inputs = {clip: read(frames, start, usual.config.width) for clip, start in CLIPS.items()}
        shown: dict[str, dict[str, list[Image]]] = {clip: {} for clip in CLIPS}
        figures: dict[str, dict[str, dict[str, float]]] = {clip: {} for clip in CLIPS}
        for clip, sources in inputs.items():
            motion = InputMotion()
            for name, engine, params in runs:
                if name in BANKS and clip != BANKED:
                    continue
                print(f"{clip}: {name} …", file=sys.stderr)
                made, ms = restyle(engine, sources, params, WITHOUT.get(name))
                shown[clip][name] = made
                figures[clip][name] = judge(sources, made, motion) | {"unet_ms": round(ms, 2)}
    for parts in figures.values():
        add_sharpness_ratios(parts)
    facts = {
        "machine": machine(), "clip": CLIP.name, "frames": frames, "prompt": BASE.prompt,
        "deflicker": DEFLICKER, "similarity_filter": FILTER, "clips": figures,
    }  # fmt: skip
    return facts, inputs, shown


def measure_blended(frames: int) -> dict[str, dict[str, float]]:
    """Compare the deflicker with films whose frames are blended with each other; slow."""
    with tempfile.TemporaryDirectory() as cache:
        engine = build_engine(EngineConfig(cache=Path(cache)), lambda step: None)
        sources = read(frames, CLIPS["lively"], engine.config.width)
        motion = InputMotion()
        made = {name: restyle(engine, sources, PARTS[name])[0] for name in (BASELINE, STEADY)}
        blending = Blending("balanced", window=1)
        for name, params in ((BLENDED, BASE), (BLENDED_STEADY, PARTS[STEADY])):
            film = Film(engine, params, blending).frames(sources)
            made[name] = list(tqdm(film, total=frames, desc=name))
    parts = {name: judge(sources, shown, motion) for name, shown in made.items()}
    add_sharpness_ratios(parts)
    return parts


def change(found: dict[str, float], base: dict[str, float], column: str) -> float:
    """Give a figure's change against fixed noise in percent.

    A warp error stands in grey levels, the root of the energy E_warp (Lai et al. 2018): its change
    is that of the energy.
    """
    ratio = found[column] / base[column]
    return 100 * ((ratio**2 if column.startswith("warp_error") else ratio) - 1)


def table(parts: dict[str, dict[str, float]]) -> str:
    """Write a clip's figures as a Markdown table, changes in percent."""
    base, names = parts[BASELINE], list(COLUMNS)
    lines = ["| | " + " | ".join(COLUMNS.values()) + " | repeated frames |"]
    lines.append("|---|" + "---|" * (len(names) + 1))
    for part, found in parts.items():
        cells = []
        for name in names:
            if name not in found:  # nothing stands still
                cells.append("")
                continue
            cell = f"{found[name]:.2f}"
            if part != BASELINE and not name.endswith("ratio"):
                cell += f" ({change(found, base, name):+.0f}%)"
            cells.append(cell)
        lines.append(f"| {part} | {' | '.join(cells)} | {found['repeated_frames']:.0f} |")
    floor = [f"{base[f'{n}_input']:.2f}" if f"{n}_input" in base else "" for n in names]
    lines.append(f"| *the input itself* | {' | '.join(floor)} | |")
    return "\n".join(lines)


def tables(facts: dict[str, Any]) -> str:
    """Write one table a clip."""
    return "\n\n".join(
        f"**{clip.capitalize()}**, from frame {CLIPS[clip]} on:\n\n{table(parts)}"
        for clip, parts in facts["clips"].items()
    )


def heading(facts: dict[str, Any]) -> str:
    """Say what the tables are of."""
    return (
        f"{facts['frames']} frames each of `{facts['clip']}`, “{facts['prompt']}”, "
        f"deflicker {facts['deflicker']}, similarity filter {facts['similarity_filter']}, "
        f"{facts['machine']['cpu']}."
    )


def write_between(mark: str, made: str, target: Path) -> None:
    """Put a text between marks of the document; the words round them stay."""
    before, rest = target.read_text().split(f"<!-- {mark} -->")
    after = rest.split("<!-- end -->", 1)[1]
    target.write_text(f"{before}<!-- {mark} -->\n{made}\n<!-- end -->{after}")


def plot(facts: dict[str, Any], target: Path) -> None:
    """Draw each part's change against fixed noise, a row of plots a clip."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    clips = facts["clips"]
    figure, rows = pyplot.subplots(
        len(clips), len(PLOTTED), figsize=(12, 4.4 * len(clips)), sharey="row", squeeze=False
    )
    for axes, (clip, found) in zip(rows, clips.items(), strict=True):
        axes[0].invert_yaxis()
        parts = [name for name in found if name != BASELINE]
        for axis, column in zip(axes, PLOTTED, strict=True):
            changes = [change(found[name], found[BASELINE], column) for name in parts]
            colours = ["#2a9d8f" if value <= 0 else "#d1495b" for value in changes]
            # what is far off would press all others flat; its number stands beside it
            bars = axis.barh(parts, [min(value, _FAR) for value in changes], color=colours)
            axis.bar_label(bars, [f"{value:+.0f}%" for value in changes], padding=3)
            axis.set_xlim(-_FAR - 30, _FAR + 60)
            axis.axvline(0, color="#333", linewidth=0.8)
            axis.set_title(f"{clip}: {PLOTTED[column]}")
            axis.spines[["top", "right"]].set_visible(False)
    figure.suptitle("Change against fixed noise (less is steadier)")
    figure.tight_layout()
    figure.savefig(target, dpi=110)
    pyplot.close(figure)


def compare(shown: dict[str, list[Image]], sources: Sequence[Image], target: Path) -> None:
    """Write the input, fixed noise and the deflickered film side by side, at most 1 MB.

    Beneath, what changed from one frame to the next, twelvefold: flicker is seen there at once.
    """
    films = []
    names = {"input": sources, BASELINE: shown[BASELINE], STEADY: shown[STEADY]}
    for number in range(1, len(sources)):
        above = np.hstack([film[number] for film in names.values()])
        before = np.hstack([film[number - 1] for film in names.values()])
        gap = np.abs(above.astype(np.int16) - before) * _GAIN
        film = Pillow.fromarray(np.vstack([above, np.clip(gap, 0, 255).astype(np.uint8)]))
        for place, name in enumerate(names):
            corner = (place * len(sources[0][0]) + 6, 4)
            ImageDraw.Draw(film).text(corner, name, "white", stroke_width=2, stroke_fill="black")
        films.append(film)
    for quality in (60, 35, 15):
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
    parser.add_argument("--docs", type=Path, default=Path("docs"))
    parser.add_argument(
        "--blended", type=int, metavar="FRAMES", help="instead: what --quality high does to them"
    )
    arguments = parser.parse_args()
    document = arguments.docs / "consistency.md"
    if arguments.blended:
        made = table(measure_blended(arguments.blended))
        write_between(
            "blended", f"The first {arguments.blended} lively frames:\n\n{made}", document
        )
        print(made)
        return
    if arguments.frames < 32:
        parser.error(f"--frames {arguments.frames}: at least 32, for the error over 30 frames")
    facts, inputs, shown = measure(arguments.frames)
    result = Path("build/consistency.json")
    result.parent.mkdir(parents=True, exist_ok=True)
    result.write_text(json.dumps(facts, indent=2) + "\n")
    write_between("table", f"{heading(facts)}\n\n{tables(facts)}", document)
    plot(facts, arguments.docs / "consistency.png")
    compare(shown["lively"], inputs["lively"], arguments.docs / "consistency.webp")
    print(tables(facts))


if __name__ == "__main__":
    main()
