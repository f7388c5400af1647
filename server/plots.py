"""Figures as pictures: of a comparison, and of a film frame by frame."""

from pathlib import Path
from typing import Any

from pipeline.errors import BackendUnavailable

# figure of every frame → its title, and the frame that the first value is of
_SERIES = {
    "warp_error": ("warp error, 1 frame, in grey levels", 1),
    "flicker": ("flicker × 10⁴", 1),
    "sharpness": ("sharpness: variance of the Laplacian", 0),
}


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
