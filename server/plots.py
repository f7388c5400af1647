"""Figures of a comparison as pictures."""

from pathlib import Path
from typing import Any

from pipeline.errors import BackendUnavailable


def draw(figures: dict[str, Any], to: Path) -> list[Path]:
    """Write PNG files into a folder. Raises BackendUnavailable without matplotlib."""
    try:
        import matplotlib

        matplotlib.use("Agg")  # no window
        from matplotlib import pyplot
    except ImportError as error:
        raise BackendUnavailable("plots need a package: pip install matplotlib") from error
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

    paths = [to / "frames.png", to / "sessions.png"]
    for drawing, path in zip((frames, sessions), paths, strict=True):
        drawing.savefig(path, dpi=120)
        pyplot.close(drawing)
    return paths
