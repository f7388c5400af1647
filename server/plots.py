"""Figures as pictures: of what the engine costs, and of a film frame by frame."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from pipeline.errors import BackendUnavailable

_Draw = Callable[[Any, Any], None]  # axes, and figures of one part
# figure of every frame → its title, and the frame that the first value is of
_SERIES = {
    "warp_error": ("warp error, 1 frame, in grey levels", 1),
    "flicker": ("flicker × 10⁴", 1),
    "sharpness": ("sharpness: variance of the Laplacian", 0),
}
_HALVES = ("encode", "decode")  # of an autoencoder
_WAYS = ("off", "on")  # of the similarity filter


def load_pyplot() -> Any:  # the module of matplotlib that draws, which has no types
    """Give what draws, without any window. Raises BackendUnavailable without matplotlib."""
    try:
        import matplotlib

        matplotlib.use("Agg")
        from matplotlib import pyplot
    except ImportError as error:
        raise BackendUnavailable("plots need a package: pip install matplotlib") from error
    return pyplot


def draw_frames(films: dict[str, dict[str, list[float]]], to: Path) -> None:
    """Write a PNG file of figures frame by frame, a line for each film. See load_pyplot()."""
    pyplot = load_pyplot()
    figure, rows = pyplot.subplots(len(_SERIES), figsize=(9, 7), sharex=True, layout="constrained")
    for axes, (name, (title, first)) in zip(rows, _SERIES.items(), strict=True):
        for film, series in films.items():
            values = series[name]
            frames = range(first, first + len(values))
            axes.plot(frames, values, label=film, linewidth=1.2, marker="." * (len(values) == 1))
        axes.set_title(title, fontsize="medium")
        axes.set_ylim(bottom=0)
        axes.spines[["top", "right"]].set_visible(False)
    rows[0].legend(fontsize="small", loc="upper right")
    rows[-1].set_xlabel("frame")
    figure.savefig(to, dpi=110, format="png")
    pyplot.close(figure)


def draw(figures: dict[str, Any], to: Path) -> list[Path]:
    """Write PNG files into a folder. Raises BackendUnavailable without matplotlib."""
    pyplot = load_pyplot()
    to.mkdir(parents=True, exist_ok=True)
    what = f"{figures['architecture']}, {figures['size']}, {figures['machine']['device']}"

    frames, axes = pyplot.subplots(figsize=(7, 3.5), layout="constrained")
    times = figures["ms_per_frame"]
    axes.barh(
        list(times), [t["median"] for t in times.values()], xerr=[t["iqr"] for t in times.values()]
    )
    steps = figures["steps"]
    axes.set(
        xlabel="ms a frame, median; bars: distance of quartiles", title=f"{what}, steps: {steps}"
    )

    sessions, axes = pyplot.subplots(figsize=(7, 3.5), layout="constrained")
    for name, counts in figures["sessions"].items():
        for kind in next(iter(counts.values())):
            fps = [found[kind]["fps_together"] for found in counts.values()]
            axes.plot([int(count) for count in counts], fps, marker="o", label=f"{name}, {kind}")
    axes.set(xlabel="sessions", ylabel="frames a second, all together", title=what)
    axes.legend(fontsize="small")

    calls, axes = pyplot.subplots(figsize=(7, 3.5), layout="constrained")
    engines, floor = figures["stages_ms"], figures.get("floor_ms", {})
    for place, (name, stages) in enumerate(engines.items()):
        unet = [ms for stage, ms in stages.items() if stage.startswith("unet")]
        axes.bar([(len(engines) + 1) * i + place for i in range(len(unet))], unet, label=name)
    starts = [(len(engines) + 1) * i - 0.5 for i in range(len(floor))]
    ends = [start + len(engines) for start in starts]
    axes.hlines(list(floor.values()), starts, ends, color="black")
    axes.set_xticks([(a + b) / 2 for a, b in zip(starts, ends, strict=True)], list(floor))
    axes.set(ylabel="ms a call; lines: its costly parts alone", title=what)
    if engines:
        axes.legend(fontsize="small")

    paths = [to / "frames.png", to / "sessions.png", to / "unet.png"]
    for drawing, path in zip((frames, sessions, calls), paths, strict=True):
        drawing.savefig(path, dpi=120)
        pyplot.close(drawing)
    return paths


def draw_arms(figures: dict[str, Any], to: Path, title: str) -> Path:
    """Write what guidance, schedules, autoencoders and the similarity filter cost as a PNG file.

    One that is not there is called not measured. Raises BackendUnavailable without matplotlib.
    """
    arms: dict[str, _Draw] = {
        "guidance": _draw_guidance, "schedules": _draw_schedules,
        "autoencoders": _draw_autoencoders, "similarity": _draw_similarity,
    }  # fmt: skip
    return _draw_four(figures, arms, to / "arms.png", title)


def draw_engine(figures: dict[str, Any], to: Path, title: str) -> Path:
    """Write stages, sessions, calls and filters of one engine as a PNG file.

    Raises BackendUnavailable without matplotlib.
    """
    parts: dict[str, _Draw] = {
        "steps": _draw_stages, "sessions": _draw_sessions, "calls": _draw_calls,
        "noise_and_deflicker": _draw_temporal,
    }  # fmt: skip
    return _draw_four(figures, parts, to / "engine.png", title)


def _draw_four(figures: dict[str, Any], parts: dict[str, _Draw], path: Path, title: str) -> Path:
    """Draw four figures by their names into one file."""
    pyplot = load_pyplot()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure, places = pyplot.subplots(2, 2, figsize=(9, 6.5), layout="constrained")
    figure.suptitle(title, fontsize="medium")
    for axes, (name, draw_part) in zip(places.flat, parts.items(), strict=True):
        axes.set_title(name.replace("_", " "), fontsize="medium")
        axes.spines[["top", "right"]].set_visible(False)
        if name in figures:
            draw_part(axes, figures[name])
            axes.set_ylim(0, 1.3 * axes.get_ylim()[1])  # room for a legend
        else:
            axes.set_axis_off()
            axes.text(0.5, 0.5, "not measured", ha="center", va="center")
    figure.savefig(path, dpi=120)
    pyplot.close(figure)
    return path


def _draw_stages(axes: Any, steps: dict[str, Any]) -> None:
    bottom = [0.0] * len(steps)
    for stage in next(iter(steps.values()))["ms"]:
        values = [each["ms"][stage] for each in steps.values()]
        axes.bar(list(steps), values, bottom=bottom, label=stage)
        bottom = [below + value for below, value in zip(bottom, values, strict=True)]
    axes.set(xlabel="steps", ylabel="ms a frame")
    axes.legend(fontsize="small", loc="upper left")


def _draw_sessions(axes: Any, counts: dict[str, Any]) -> None:
    for kind in next(iter(counts.values())):
        fps = [found[kind]["fps_together"] for found in counts.values()]
        axes.plot([int(count) for count in counts], fps, marker="o", label=kind)
    axes.set(xlabel="sessions", ylabel="frames a second, all together")
    axes.set_ylim(bottom=0)
    axes.legend(fontsize="small", loc="upper left")


def _draw_calls(axes: Any, found: dict[str, Any]) -> None:
    ms = {int(name.split()[1]): value for name, value in found["ms"].items() if name[:4] == "unet"}
    fit = found["fit"]
    axes.scatter(list(ms), list(ms.values()), label="measured")
    line = [fit["once_ms"] + fit["row_ms"] * rows for rows in ms]
    axes.plot(list(ms), line, label=f"{fit['once_ms']:g} + {fit['row_ms']:g} × rows")
    axes.set(xlabel="rows of a UNet call", ylabel="ms")
    axes.set_xlim(left=0)
    axes.set_ylim(bottom=0)
    axes.legend(fontsize="small", loc="upper left")


def _draw_temporal(axes: Any, ms: dict[str, float]) -> None:
    axes.bar(list(ms), list(ms.values()))
    axes.set_ylabel("ms a frame")


def _draw_guidance(axes: Any, kinds: dict[str, Any]) -> None:
    bars = axes.bar(list(kinds), [1000 / kind["fps"] for kind in kinds.values()])
    axes.bar_label(bars, [f"{kind['unet_rows_per_frame']:g} rows" for kind in kinds.values()])
    axes.set_ylabel("ms a frame")


def _draw_schedules(axes: Any, schedules: dict[str, Any]) -> None:
    for name, found in schedules.items():
        if name != "beside":
            axes.scatter(found["age_p50_ms"], found["fps_of_1"], label=name, s=60)
    axes.set(xlabel="age of a camera's pictures, p50, ms", ylabel="frames a second, one session")
    axes.set_xlim(left=0)
    axes.set_ylim(bottom=0)
    axes.legend(fontsize="small", loc="lower left")


def _draw_autoencoders(axes: Any, found: dict[str, Any]) -> None:
    names = list(found)
    halves = {part: [each[f"{part}_ms"] for each in found.values()] for part in _HALVES}
    rest = [each["ms_per_frame"] for each in found.values()]
    bottom = [0.0] * len(names)
    for part, values in halves.items():
        axes.bar(names, values, bottom=bottom, label=part)
        bottom = [below + value for below, value in zip(bottom, values, strict=True)]
    others = [max(0.0, whole - below) for whole, below in zip(rest, bottom, strict=True)]
    axes.bar(names, others, bottom=bottom, label="everything else")
    axes.set_ylabel("ms a frame")
    axes.legend(fontsize="small")


def _draw_similarity(axes: Any, found: dict[str, Any]) -> None:
    scenes = [name for name in found if isinstance(found[name], dict)]
    figure, what = "processor_ms_per_frame", "ms of processor time a frame"
    if all("joules_per_frame" in found[scene][way] for scene in scenes for way in _WAYS):
        figure, what = "joules_per_frame", "joules a frame"
    for place, way in enumerate(_WAYS):
        values = [found[scene][way][figure] for scene in scenes]
        axes.bar([i + 0.4 * place for i in range(len(scenes))], values, 0.4, label=f"filter {way}")
    axes.set_xticks([i + 0.2 for i in range(len(scenes))], scenes)
    axes.set_ylabel(what)
    axes.legend(fontsize="small", loc="upper right")
