"""`make bench-consistency`: what each part does for a steady picture, alone and together.

python -m tests.bench.consistency [--frames 60] [--docs docs] [--only PART …] [--features PATH]

Writes build/consistency.json, and into docs: consistency.md (tables, and the sentences made of
their figures), consistency.png, consistency.webp. With --only these parts are measured again and
the others stay as build/consistency.json has them; without any name all is written from it.

The style ratio is how far a part's textures are from those of the style's teacher, over the same of
fixed noise; it wants the weights that training compares pictures by (pipeline/features.py).
"""

import argparse
import inspect
import itertools
import json
import sys
import tempfile
import textwrap
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image as Pillow
from PIL import ImageDraw
from tqdm import tqdm

from pipeline.config import EngineConfig
from pipeline.embedded.filters import FILTERS
from pipeline.embedded.styles import STYLES
from pipeline.embedded.teachers import LARGE, halved
from pipeline.engine import Engine, build_engine
from pipeline.errors import PipelineError
from pipeline.features import Features, load_features
from pipeline.flicker import FlickerMeter
from pipeline.metrics import Consistency, Motion, motion_between
from pipeline.params import StyleParams
from pipeline.patch_blending import Blending
from pipeline.results import Image
from pipeline.smoothing import Film
from server.consistency import LEAST_SHARPNESS, MOTION, beside
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
DEFAULT, SEARCH = "deflicker, the default", "deflicker and search"
WARPED, FRESH, LEVEL, REPEATING = (
    "warped noise", "fresh noise", "motion-aware noise", "similarity filter",
)  # fmt: skip
PARTS: dict[str, StyleParams] = {
    BASELINE: BASE,
    WARPED: replace(BASE, noise="warped"),
    FRESH: replace(BASE, noise="fresh"),
    LATENTS: replace(BASE, deflicker=DEFLICKER),
    PICTURE: replace(BASE, deflicker=DEFLICKER),
    DEFAULT: replace(BASE, deflicker=StyleParams().deflicker),
    STEADY: replace(BASE, deflicker=DEFLICKER),
    SEARCH: replace(BASE, deflicker=DEFLICKER, deflicker_search=True),
    LEVEL: replace(BASE, motion_noise=1.0),
    REPEATING: replace(BASE, similarity_filter=FILTER),
    EVERYTHING: replace(
        BASE, noise="warped", deflicker=DEFLICKER, deflicker_search=True, motion_noise=1.0
    ),
}
# part → which of a session's two filters is taken out for it
WITHOUT = {LATENTS: "picture_filter", PICTURE: "deflicker"}
# the bank needs the eager backend, so that backend has a baseline of its own
EAGER, MERGED = "fixed noise, eager", "bank of 1, merged every 4"
BANKS: dict[str, dict[str, Any]] = {
    EAGER: {"backend": "eager"},
    "feature bank, 1 frame": {"feature_bank": 1},
    "feature bank, 4 frames": {"feature_bank": 4},
    MERGED: {"feature_bank": 1, "feature_merge": 4},
    "bank of 1 and anchor": {"feature_bank": 1, "feature_anchor": True},
    "bank of 1 and fusion": {"feature_bank": 1, "feature_fusion": 0.75},
}
# no part, but what the figures say of one picture that never changes: they must know what stands
FROZEN = "the first picture, frozen"
# clip → banks that are tried on it: eager calls take long
BANKED: dict[str, Collection[str]] = {"calm": BANKS, "lively": (EAGER, MERGED)}
# figure → how a column is named; all but the ratios: less is better
COLUMNS = {
    "warp_error_1": "warp error, 1 frame",
    "warp_error_5": "5 frames",
    "warp_error_30": "30 frames",
    "warp_error_first": "the first frame",
    "warp_error_1_found": "1 frame, motion as found",
    "flicker": "flicker × 10⁴",
    "flicker_still": "flicker, still parts",
    "still": "live meter",
    "tof": "tOF, px",
    "motion_ratio": "motion ratio",
    "moving_ratio": "moving parts",
    "sharpness_ratio": "sharpness ratio",
    "style_ratio": "style ratio",
    "unet_ms": "UNet, ms",
}
PLOTTED = {
    "warp_error_1": "warp error, 1 frame",
    "warp_error_30": "warp error, 30 frames",
    "flicker": "flicker",
}
STYLE = 0.03  # of the baseline's distance from the teacher, that a part may be nearer or further
JUDGED = 10  # of so many frames the textures of one are compared: a teacher takes a second for it
FEW = 0.02  # share of moving pixels, below which their motion says nothing
RESULT = Path("build/consistency.json")
_NIL = 3  # percent: a change of E_warp that is smaller is none
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


class Teacher:
    """Says how far what a part makes of a clip is from what the style's teacher makes of it."""

    def __init__(self, features: Features, frames: int, start: int) -> None:
        self._features = features
        draw = FILTERS[next(s.teacher for s in STYLES if s.prompt == BASE.prompt)]
        self._taught = [halved(draw(image)) for image in read(frames, start, LARGE)[::JUDGED]]

    def apart(self, shown: Sequence[Image]) -> float:
        """Give the mean distance of textures, of every JUDGED-th frame."""
        pairs = zip(shown[::JUDGED], self._taught, strict=True)
        return float(np.mean([self._features.textures_apart(*pair) for pair in pairs]))


def find_features(cache: Path) -> Features | None:
    """Load the network that compares textures; None where it is not at hand, with a line of why."""
    try:
        return load_features(cache)
    except PipelineError as error:
        print(f"no style ratio: {error}", file=sys.stderr)
        return None


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


def add_ratios(parts: dict[str, dict[str, float]]) -> None:
    """Compare each part's sharpness, and its distance from the teacher, with fixed noise's."""
    base = parts[BASELINE]
    for found in parts.values():
        for name in ("sharpness", "style"):
            if name in found and name in base:
                found[f"{name}_ratio"] = round(found[name] / base[name], 3)


def moving_share(sources: Sequence[Image], motion: InputMotion) -> float:
    """Give the share of pixels that surely move from one frame of a clip to the next."""
    pairs = itertools.pairwise(sources)
    return float(np.mean([motion(now, last).moves for last, now in pairs]))


def measure(
    frames: int, names: Collection[str], features: Features | None
) -> tuple[dict[str, Any], dict[str, list[Image]], dict[str, dict[str, list[Image]]]]:
    """Run parts on every clip; give the figures, the inputs and what came out."""
    with tempfile.TemporaryDirectory() as cache:

        def build(**changes: Any) -> Engine:
            return build_engine(EngineConfig(cache=Path(cache), **changes), lambda step: None)

        usual = build()
        runs = [(name, usual, params) for name, params in PARTS.items() if name in names]
        runs += [(name, build(**how), BASE) for name, how in BANKS.items() if name in names]
        inputs = {clip: read(frames, start, usual.config.width) for clip, start in CLIPS.items()}
        shown: dict[str, dict[str, list[Image]]] = {clip: {} for clip in CLIPS}
        figures: dict[str, dict[str, dict[str, float]]] = {clip: {} for clip in CLIPS}
        moving = {}
        for clip, sources in inputs.items():
            motion = InputMotion()
            moving[clip] = round(moving_share(sources, motion), 4)
            teacher = Teacher(features, frames, CLIPS[clip]) if features is not None else None
            for name, engine, params in runs:
                if name in BANKS and name not in BANKED[clip]:
                    continue
                print(f"{clip}: {name} …", file=sys.stderr)
                made, ms = restyle(engine, sources, params, WITHOUT.get(name))
                shown[clip][name] = made
                figures[clip][name] = judge(sources, made, motion) | {"unet_ms": round(ms, 2)}
                if teacher is not None:
                    figures[clip][name]["style"] = round(teacher.apart(made), 4)
            if BASELINE in shown[clip]:
                first = shown[clip][BASELINE][0]
                figures[clip][FROZEN] = judge(sources, [first] * len(sources), motion)
    facts = {
        "machine": machine(), "clip": CLIP.name, "frames": frames, "prompt": BASE.prompt,
        "deflicker": DEFLICKER, "similarity_filter": FILTER, "moving": moving, "clips": figures,
    }  # fmt: skip
    return facts, inputs, shown


def completed(facts: dict[str, Any]) -> dict[str, Any]:
    """Put parts that were measured again among those that are known. Raises SystemExit."""
    known = json.loads(RESULT.read_text()) if RESULT.exists() else None
    same = ("machine", "clip", "frames", "prompt", "deflicker", "similarity_filter")
    if known is None or any(known[name] != facts[name] for name in same):
        raise SystemExit(f"{RESULT}: not there, or measured otherwise; measure without --only")
    order = (*PARTS, *BANKS, FROZEN)
    clips = {}
    for clip, before in known["clips"].items():
        parts = before | facts["clips"][clip]
        clips[clip] = {name: parts[name] for name in sorted(parts, key=order.index)}
    return facts | {"clips": clips}


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
    add_ratios(parts)
    return parts


def change(found: dict[str, float], base: dict[str, float], column: str) -> float:
    """Give a figure's change against fixed noise in percent.

    A warp error stands in grey levels, the root of the energy E_warp (Lai et al. 2018): its change
    is that of the energy.
    """
    ratio = found[column] / base[column]
    return 100 * ((ratio**2 if column.startswith("warp_error") else ratio) - 1)


def cell(found: dict[str, float], base: dict[str, float], name: str, moves: bool = True) -> str:
    """Write one figure, with its change against fixed noise where less is better."""
    if name not in found:  # nothing stands still, or the network that sees is not at hand
        return ""
    if name == "moving_ratio" and not moves:
        return "nothing moves"
    if name.endswith("ratio"):
        return f"{found[name]:.3f}"
    if name == "unet_ms":
        return f"{found[name]:.1f}"
    more = "" if found is base else f" ({change(found, base, name):+.0f}%)"
    return f"{found[name]:.2f}{more}"


def table(parts: dict[str, dict[str, float]], moves: bool = True) -> str:
    """Write a clip's figures as a Markdown table, changes in percent."""
    base = parts[BASELINE]
    names = [name for name in COLUMNS if name in base or name == "style_ratio"]
    titles = [COLUMNS[name] for name in names]
    if "style_ratio" not in base:
        titles[names.index("style_ratio")] += " (not measured: no weights)"
    lines = [f"| | {' | '.join(titles)} | repeated frames |"]
    lines.append("|---|" + "---|" * (len(names) + 1))
    for part, found in parts.items():
        cells = [cell(found, base, name, moves) for name in names]
        lines.append(f"| {part} | {' | '.join(cells)} | {found['repeated_frames']:.0f} |")
    floor = [f"{base[f'{n}_input']:.2f}" if f"{n}_input" in base else "" for n in names]
    lines.append(f"| *the input itself* | {' | '.join(floor)} | |")
    return "\n".join(lines)


def tables(facts: dict[str, Any]) -> str:
    """Write one table a clip."""
    written = []
    for clip, parts in facts["clips"].items():
        share = facts["moving"][clip]
        what = f"from frame {CLIPS[clip]} on; {100 * share:.1f} % of pixels surely move"
        written.append(f"**{clip.capitalize()}**, {what}:\n\n{table(parts, share >= FEW)}")
    return "\n\n".join(written)


def heading(facts: dict[str, Any]) -> str:
    """Say what the tables are of."""
    return (
        f"{facts['frames']} frames each of `{facts['clip']}`, “{facts['prompt']}”, "
        f"deflicker {facts['deflicker']}, similarity filter {facts['similarity_filter']}, "
        f"{facts['machine']['cpu']}."
    )


def words(facts: dict[str, Any]) -> str:
    """Write what the figures say of each part, as a Markdown list."""
    calm, lively = facts["clips"]["calm"], facts["clips"]["lively"]

    def changes(part: str, column: str = "warp_error_1") -> list[float]:
        return [change(p[part], p[BASELINE], column) for p in (calm, lively)]

    def both(part: str, column: str = "warp_error_1") -> str:
        return " and ".join(f"{value:+.0f}" for value in changes(part, column)) + " %"

    def ratios(part: str) -> str:
        return " and ".join(f"{p[part]['sharpness_ratio']:.3f}" for p in (calm, lively))

    def line(part: str, why: str) -> str:
        return f"- **{part.capitalize()}: {verdict(changes(part))}** ({both(part)}){why}"

    said = [
        f"E_warp on the calm and on the lively clip, against {BASELINE}:",
        f"- **{STEADY.capitalize()}: {verdict(changes(STEADY))}.** At {facts['deflicker']:g}: "
        f"{both(STEADY)}; flicker {both(STEADY, 'flicker')}, on still parts "
        f"{both(STEADY, 'flicker_still')}; sharpness ratios {ratios(STEADY)}.",
        f"- **At {PARTS[DEFAULT].deflicker:g}, the default: {verdict(changes(DEFAULT))}.** "
        f"{both(DEFAULT)}; flicker {both(DEFAULT, 'flicker')}, on still parts "
        f"{both(DEFAULT, 'flicker_still')}; sharpness ratios {ratios(DEFAULT)}.",
        f"- **Its two filters:** the one on latents alone {both(LATENTS)}, the one on the "
        f"finished picture alone {both(PICTURE)}; on still parts flicker "
        f"{both(LATENTS, 'flicker_still')}, and {both(PICTURE, 'flicker_still')}.",
        motion_words(facts),
        line(SEARCH, f", where the deflicker alone has {both(STEADY)}."),
        line(LEVEL, f"; sharpness ratios {ratios(LEVEL)}."),
        line(WARPED, "."),
        line(FRESH, "."),
        line(REPEATING, ": what it repeats is wrong by the motion in between."),
        line(EVERYTHING, f" without that filter; sharpness ratios {ratios(EVERYTHING)}."),
        f"- **By the motion as it was found**, in the noise of bare walls, too: at "
        f"{PARTS[DEFAULT].deflicker:g} {both(DEFAULT, 'warp_error_1_found')}, at "
        f"{facts['deflicker']:g} {both(STEADY, 'warp_error_1_found')}, with all "
        f"{both(EVERYTHING, 'warp_error_1_found')}, of one frozen picture "
        f"{both(FROZEN, 'warp_error_1_found')}.",
        bank_words(calm, lively),
        style_words(facts),
        guard_words(facts),
    ]
    return "\n".join([said[0], "", *map(filled, said[1:])])


def filled(text: str) -> str:
    """Break a list's entry into lines, no figure from its percent sign."""
    whole = text.replace(" %", "\N{NO-BREAK SPACE}%")
    lines = textwrap.fill(whole, 116, subsequent_indent="  ", break_on_hyphens=False)
    return lines.replace("\N{NO-BREAK SPACE}", " ")


def verdict(changes: Sequence[float]) -> str:
    """Say in a word what changes of E_warp in percent, one a clip, are worth."""
    if all(abs(value) < _NIL for value in changes):
        return "nil"
    if all(value < _NIL for value in changes):
        return "steadier"
    return "less steady" if all(value > -_NIL for value in changes) else "mixed"


def motion_words(facts: dict[str, Any]) -> str:
    """Say how much the output moves where the input surely does."""
    said = []
    for clip, parts in facts["clips"].items():
        share = f"{100 * facts['moving'][clip]:.1f} % of the {clip} clip's pixels surely move"
        if facts["moving"][clip] < FEW:
            said.append(f"{share}: nothing to say of")
            continue
        ratios = [f"{parts[part]['moving_ratio']:.3f}" for part in (BASELINE, DEFAULT, STEADY)]
        said.append(f"{share}, and there the output moves {', '.join(ratios)} times as much")
    names = f"{BASELINE}, at {PARTS[DEFAULT].deflicker:g}, at {DEFLICKER:g}"
    return f"- **Motion kept** ({names}): {'; '.join(said)}."


def bank_words(calm: dict[str, dict[str, float]], lively: dict[str, dict[str, float]]) -> str:
    """Say what the feature bank does, against fixed noise of its own backend."""
    banks = [name for name in BANKS if name != EAGER]
    changes = [change(calm[name], calm[EAGER], "warp_error_1") for name in banks]
    merged = change(lively[MERGED], lively[EAGER], "warp_error_1")
    return (
        f"- **Feature bank: {verdict([*changes, merged])}** "
        f"({', '.join(f'{x:+.1f}' for x in changes)} % on the calm clip, merged {merged:+.1f} % on "
        "the lively one, against the same backend). What banks cost is said, arm beside arm, by "
        "`python -m tests.bench.feature_bank`."
    )


def style_words(facts: dict[str, Any]) -> str:
    """Say how strong the style stays, by the distance from its teacher's textures."""
    clips = facts["clips"].values()
    if any("style_ratio" not in parts[BASELINE] for parts in clips):
        return "- **Style kept:** not measured, the weights were not at hand."

    def ratios(part: str) -> str:
        return " and ".join(f"{parts[part]['style_ratio']:.3f}" for parts in clips)

    return (
        f"- **Style kept** (distance from the teacher's textures over that of {BASELINE}): "
        f"{ratios(DEFAULT)} at {PARTS[DEFAULT].deflicker:g}, {ratios(STEADY)} at "
        f"{facts['deflicker']:g}, {ratios(EVERYTHING)} with all."
    )


def guard_words(facts: dict[str, Any]) -> str:
    """Name the parts whose steadiness is bought by blur, freezing, boiling or another style."""
    said = []
    for clip, parts in facts["clips"].items():
        frozen = {"moving_ratio": 0.0} if facts["moving"][clip] < FEW else {}  # nothing can freeze
        for name, found in parts.items():
            flags = beside(found, parts[BASELINE] | frozen)["flags"]
            if abs(found.get("style_ratio", 1.0) - 1) > STYLE:
                flags.append(f"style ratio {found['style_ratio']:.3f}, not within {STYLE} of 1")
            said += [f"{name} on the {clip} clip ({flag})" for flag in flags]
    limits = (
        f"sharpness at least {LEAST_SHARPNESS}, motion {MOTION[0]} to {MOTION[1]} times, "
        f"distance from the teacher within {100 * STYLE:.0f} %"
    )
    return f"- **Guards** ({limits} that of {BASELINE}) are left by: {'; '.join(said) or 'none'}."


def write_between(mark: str, made: str, target: Path) -> None:
    """Put a text between marks of the document; what stands round them stays."""
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
    parser.add_argument("--only", nargs="*", metavar="PART", help="measure only these again")
    parser.add_argument(
        "--features", type=Path, default=Path(".cache/embedded"),
        help="folder with the weights that textures are compared by",
    )  # fmt: skip
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
    everything = [*PARTS, *BANKS]
    names = everything if arguments.only is None else arguments.only
    if unknown := set(names) - set(everything):
        parser.error(f"--only {', '.join(unknown)}: choose from {'; '.join(everything)}")
    facts, inputs, shown = measure(arguments.frames, names, find_features(arguments.features))
    facts = facts if arguments.only is None else completed(facts)
    for parts in facts["clips"].values():
        add_ratios(parts)
    RESULT.parent.mkdir(parents=True, exist_ok=True)
    RESULT.write_text(json.dumps(facts, indent=2) + "\n")
    write_between("table", f"{heading(facts)}\n\n{tables(facts)}", document)
    write_between("words", words(facts), document)
    plot(facts, arguments.docs / "consistency.png")
    if {BASELINE, STEADY} <= shown["lively"].keys():
        compare(shown["lively"], inputs["lively"], arguments.docs / "consistency.webp")
    print(tables(facts))


if __name__ == "__main__":
    main()
