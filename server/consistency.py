"""`restyle consistency`: how still a stylized video holds, beside its input and unsmoothed."""

import json
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from pipeline.errors import ConfigError
from pipeline.metrics import Consistency, Motion, flicker, motion_between, sharpness, warp_error
from pipeline.results import Image
from server.plots import draw_frames, load_pyplot
from streams.convert import to_rgb
from streams.errors import SinkError, SourceError
from streams.sources.file import FileSource

if TYPE_CHECKING:
    from pipeline.features import Features
    from pipeline.text_agreement import TextAgreement

_SIDE = 256  # pixels of both videos' longer side: motion is found there, and strokes still show
# blur and freezing look steady, too: from where on a steadier result is no win (design decision)
LEAST_SHARPNESS = 0.9  # of the baseline's
MOTION = (0.85, 1.15)  # times the baseline's
LEAST_CHANGE = 0.05  # times the input's, from one frame to the next
LEAST_AGREEMENT = -0.5  # points less than the baseline's
_REMEMBERED = 8  # pairs of frames whose motion is known: more than one frame asks for
_SEEN = 5  # of so many frames the network compares one with the baseline's: it takes seconds


def consistency(
    source: Path,
    stylized: Path,
    as_json: bool,
    baseline: Path | None,
    plot: Path | None,
    features: Path | None = None,
    clip: Path | None = None,
    prompt: str | None = None,
) -> int:
    """Print the figures. Raises SourceError, also for videos of different lengths.

    `baseline` is the same film without what makes it steady, to see by what the steadiness was
    bought. `plot` is where to draw the figures of every frame as PNG. `features` is the folder with
    the weights of the network that sees (see load_features, and what it raises); without it there
    are no perceptual figures. `clip` is the folder of a CLIP model, which says how well the film
    agrees with `prompt`, and its frames with each other (see load_text_agreement).
    """
    if (clip is None) != (prompt is None):
        raise ConfigError("consistency: give --clip and --prompt together")
    if plot is not None:
        _check_plot(plot)
    films = {"result": stylized} | ({} if baseline is None else {"baseline": baseline})
    network = None if features is None else _load_features(features)
    reader = None if clip is None or prompt is None else _load_text_agreement(clip, prompt)
    measured = _Films(tuple(films), _fps(source), network, reader, drawn=plot is not None)
    for given, *others in _frames([source, *films.values()]):
        measured.add({"input": given} | dict(zip(films, others, strict=True)))
    if not measured.frames:
        raise SourceError(f"{source}: there is no frame in it")
    _print(measured.figures(), as_json)
    if plot is not None:
        draw_frames(measured.by_frame(), plot)
    return 0


def _check_plot(plot: Path) -> None:
    """Say what is missing before minutes of measuring. Raises SinkError, and what plots raise."""
    load_pyplot()
    if not plot.absolute().parent.is_dir():
        raise SinkError(f"{plot}: there is no such folder")
    if plot.suffix.lower() != ".png" or plot.is_dir():
        raise SinkError(f"--plot {plot}: give the name of a PNG file, as figures.png")


def _fps(path: Path) -> float:
    film = FileSource(path)
    try:
        return float(film.info.fps)
    finally:
        film.close()


def _print(figures: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print(json.dumps(figures, indent=2))
        return
    for name, value in figures.items():
        said = "; ".join(value) or "none" if isinstance(value, list) else value
        print(f"{name:<22}{said}")


def _load_features(cache: Path) -> "Features":
    from pipeline.features import load_features  # with torch, which takes seconds

    return load_features(cache)


def _load_text_agreement(folder: Path, prompt: str) -> "TextAgreement":
    from pipeline.text_agreement import load_text_agreement  # with torch, too

    return load_text_agreement(folder, prompt)


def alike(means: dict[str, float]) -> dict[str, float]:
    """Say how alike each frame is to the one before, in points of 100.

    frames_alike            of the result
    frames_alike_input      of the input, and so _baseline
    """
    return {
        "frames_alike" if name == "result" else f"frames_alike_{name}": round(mean, 3)
        for name, mean in means.items()
    }


def agreement(means: dict[str, float], flags: list[str]) -> dict[str, Any]:
    """Say how well films agree with the prompt, in points of 100, and flag what says less of it.

    text_agreement                  of the result
    text_agreement_over_baseline    how much more that is than the baseline's, if there is one
    """
    found: dict[str, Any] = {"text_agreement": round(means["result"], 3)}
    if "baseline" in means:
        more = round(means["result"] - means["baseline"], 3)
        if more < LEAST_AGREEMENT:
            said = f"says less of the prompt than the baseline: {more} points"
            flags = [*flags, f"{said}, under {LEAST_AGREEMENT}"]
        found |= {"text_agreement_over_baseline": more, "flags": flags}
    return found


def beside(found: dict[str, float], baseline: dict[str, float]) -> dict[str, Any]:
    """Compare a film's figures with those of the same film unsmoothed.

    sharpness_to_baseline   ratio; None where the baseline has nothing of it, as with the others
    motion_to_baseline      of all pixels: a boiling film moves more, also than its input. Where a
                            pattern stands on the screen, a better film moves more than one that
                            is not smoothed, too
    moving_to_baseline      where the input surely moves: a freezing film moves less. Elsewhere
                            what moves is found in noise, and a steadier film has less of that
    flags                   sentences: where they leave what is allowed
    """
    sharp = _ratio(found, baseline, "sharpness")
    motion, moving = (_ratio(found, baseline, f"{name}_ratio") for name in ("motion", "moving"))
    flags = frozen(found)
    if sharp is not None and sharp < LEAST_SHARPNESS:
        flags.append(f"softer than the baseline: sharpness {sharp:.3f}, under {LEAST_SHARPNESS}")
    if moving is not None and moving < MOTION[0]:
        flags.append(f"moves less than the baseline: {moving:.3f}, under {MOTION[0]}")
    if motion is not None and min(motion, found["motion_ratio"]) > MOTION[1]:
        flags.append(f"moves more than the baseline and the input: {motion:.3f}, over {MOTION[1]}")
    return {
        "sharpness_to_baseline": sharp, "motion_to_baseline": motion,
        "moving_to_baseline": moving, "flags": flags,
    }  # fmt: skip


def frozen(found: dict[str, float]) -> list[str]:
    """Flag a film that shows nearly one picture while its input changes, be it only by noise."""
    change, given = found.get("change", 0.0), found.get("change_input", 0.0)
    if change >= LEAST_CHANGE * given:
        return []
    return [
        f"frozen: changes {change / given:.3f} times as much as the input, under {LEAST_CHANGE}"
    ]


def _ratio(found: dict[str, float], baseline: dict[str, float], name: str) -> float | None:
    return round(found[name] / baseline[name], 4) if baseline.get(name) else None


def _frames(paths: list[Path]) -> Iterator[list[Image]]:
    """Give the frames of several videos side by side, in the size of the second one."""
    with ExitStack() as opened:
        films = []
        for path in paths:
            films.append(FileSource(path))
            opened.callback(films[-1].close)
        total = films[0].info.frames or None
        frames = zip_longest(*films)
        for count, pictures in enumerate(tqdm(frames, total=total, unit="frame", disable=None)):
            for path, picture in zip(paths, pictures, strict=True):
                if picture is None:
                    raise SourceError(f"{path}: ends after {count} frames, another goes on")
            width, height = _size(pictures[1].width, pictures[1].height)
            yield [to_rgb(picture, width, height) for picture in pictures]


def _size(width: int, height: int) -> tuple[int, int]:
    scale = min(1.0, _SIDE / max(width, height))
    return tuple(max(2, 2 * round(side * scale / 2)) for side in (width, height))  # type: ignore[return-value]  # two


class _Films:
    """What is measured of films of one input: the result, and the baseline if there is one."""

    def __init__(
        self,
        names: Sequence[str],
        fps: float,
        network: "Features | None",
        reader: "TextAgreement | None",
        drawn: bool,
    ) -> None:
        motion = _RecentMotion()
        distance = None if network is None else network.distance
        self._films = {name: Consistency(motion, distance, fps) for name in names}
        self._series = {name: _Series(motion) for name in ("input", *names) if drawn}
        self._network, self._reader = network, reader
        self._textures: list[float] = []  # how far the result's are from the baseline's
        self._agreements: dict[str, list[float]] = {name: [] for name in names}
        self._last: dict[str, Image] = {}
        self._alike: dict[str, list[float]] = {}  # each frame and the one before

    @property
    def frames(self) -> int:
        """Count those that were taken."""
        return self._films["result"].frames

    def add(self, shown: dict[str, Image]) -> None:
        """Take the next frame of the input and of each film, by name."""
        for name, film in self._films.items():
            film.add(shown["input"], shown[name])
        for name, series in self._series.items():
            series.add(shown["input"], shown[name])
        if self.frames % _SEEN == 1:
            self._look_at(shown)
        if self.frames % _SEEN == 2 and self._reader is not None:  # of short films the first pair
            for name, picture in shown.items():
                seen = self._reader.alike(picture, self._last[name])
                self._alike.setdefault(name, []).append(seen)
        self._last = shown

    def figures(self) -> dict[str, Any]:
        """Give all figures by name."""
        found = self._films["result"].figures()
        figures: dict[str, Any] = {"frames": self.frames, **found, "flags": frozen(found)}
        if "baseline" in self._films:
            figures |= beside(found, self._films["baseline"].figures())
        if self._textures:
            figures["textures_from_baseline"] = round(_mean(self._textures), 4)
        if self._reader is not None:
            means = {name: _mean(seen) for name, seen in self._agreements.items()}
            figures |= agreement(means, figures["flags"])
            figures |= alike({name: _mean(seen) for name, seen in self._alike.items()})
        return figures

    def by_frame(self) -> dict[str, dict[str, list[float]]]:
        """Give the figures of every frame, of the input and of each film."""
        return {name: series.figures for name, series in self._series.items()}

    def _look_at(self, shown: dict[str, Image]) -> None:
        if self._network is not None and "baseline" in shown:
            apart = self._network.textures_apart(shown["result"], shown["baseline"])
            self._textures.append(apart)
        if self._reader is not None:
            for name, seen in self._agreements.items():
                seen.append(self._reader.of(shown[name]))


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


class _RecentMotion:
    """Finds the motion of the input, each pair of frames once for all who ask for it soon."""

    def __init__(self) -> None:
        self._known: deque[tuple[Image, Image, Motion]] = deque(maxlen=_REMEMBERED)

    def __call__(self, frame: Image, other: Image) -> Motion:
        for one, another, motion in self._known:
            if one is frame and another is other:
                return motion
        self._known.append((frame, other, motion_between(frame, other)))
        return self._known[-1][2]


class _Series:
    """Figures of every frame of one film; those that look ahead or back lack at its ends."""

    def __init__(self, motion: _RecentMotion) -> None:
        self._motion = motion
        self._inputs: deque[Image] = deque(maxlen=3)
        self._outputs: deque[Image] = deque(maxlen=3)
        self.figures: dict[str, list[float]] = {"warp_error": [], "flicker": [], "sharpness": []}

    def add(self, given: Image, shown: Image) -> None:
        """Take the next frame of the input and of the film."""
        self._inputs.append(given)
        self._outputs.append(shown)
        self.figures["sharpness"].append(sharpness(shown))
        if len(self._inputs) > 1:
            motion = self._motion(given, self._inputs[-2])
            error = warp_error(shown, self._outputs[-2], motion)
            self.figures["warp_error"].append(255 * error**0.5)
        if len(self._inputs) > 2:
            before, here, after = self._inputs
            back, ahead = self._motion(here, before), self._motion(here, after)
            earlier, its, later = self._outputs
            self.figures["flicker"].append(1e4 * flicker(earlier, its, later, back, ahead))
