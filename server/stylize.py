"""`restyle stylize`: a video file through the live pipeline, as fast as it goes."""

import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from pydantic import ValidationError
from tqdm import tqdm

from pipeline.cores import available_cores
from pipeline.engine import build_engine
from pipeline.patch_blending import Blending
from server.errors import ApiError, describe
from server.schema.style import Style, StylePatch
from server.settings import Settings, SettingsError, load_settings
from server.style_limits import check_limits
from streams.errors import SinkError
from streams.offline import stylize_file
from streams.sources.file import FileSource

_STYLE = tuple(StylePatch.model_fields)


def stylize(given: dict[str, object]) -> int:
    """Restyle a file and print what it took. Raises errors with one sentence for the user."""
    source_path, output = Path(str(given.pop("input"))), Path(str(given.pop("output")))
    force = given.pop("force")
    blending = _blending(str(given.pop("quality")), given.pop("blending"), given.pop("window"))
    wanted = {key: given.pop(key) for key in _STYLE if key in given}
    settings = load_settings(**given)
    style = _style(wanted, settings)
    if output.exists() and not force:
        raise SinkError(f"{output}: exists already; give --force to overwrite it")
    if output.exists() and source_path.exists() and output.samefile(source_path):
        raise SinkError(f"{output}: is the file that is read; give another name to write to")
    source = FileSource(source_path)
    try:
        config = settings.engine()
        # nothing else wants a core, and nobody waits for a frame: one on each core, but for films
        # that are blended, which go through the model frame by frame
        threads = config.threads or available_cores()
        rows = 1 if blending else min(threads, config.max_rows)
        config = replace(config, threads=threads, parallel_rows=rows)
        engine = build_engine(config, lambda step: print(f"  {step} …", file=sys.stderr))
        hint = engine.prepare(style.params())
        if hint:
            print(f"  {hint}", file=sys.stderr)
        totals: dict[str, float] = {}
        progress = tqdm(total=source.info.frames or None, unit="frame", disable=None)

        def count(stages: dict[str, float]) -> None:
            for stage, ms in stages.items():
                totals[stage] = totals.get(stage, 0.0) + ms
            progress.update()

        started = time.perf_counter()
        with _ended_by_sigterm():
            frames = stylize_file(engine, source, output, style.params(), count, blending)
        seconds = time.perf_counter() - started
        progress.close()
    finally:
        source.close()
    stages = ", ".join(f"{name} {total / max(frames, 1):.1f}" for name, total in totals.items())
    print(
        f"{output}: {frames} frames in {seconds:.1f} s, {frames / seconds:.1f} fps (ms: {stages})"
    )
    return 0


@contextmanager
def _ended_by_sigterm() -> Iterator[None]:
    """Let SIGTERM end this like Ctrl-C does: no half of a film is left."""
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _blending(quality: str, mode: object, window: object) -> Blending | None:
    if quality == "live":
        if mode is not None or window is not None:
            raise SettingsError("blending, window: give --quality high, too")
        return None
    # argparse takes no other mode
    return Blending(mode or "balanced", window if isinstance(window, int) else 2)  # type: ignore[arg-type]


def _style(given: dict[str, object], settings: Settings) -> Style:
    try:
        patch = StylePatch(**{k: v for k, v in given.items() if v is not None})  # type: ignore[arg-type]  # checked by it
        check_limits(patch, settings)
    except ValidationError as error:
        raise SettingsError(describe(error.errors())) from error
    except ApiError as error:
        raise SettingsError(error.detail) from error
    return patch.apply(Style())
