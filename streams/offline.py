"""A video file through the live engine, as fast as it goes; every frame comes out, in order.

Reading, restyling and writing have a thread each, and each is at most one frame ahead of the next.
"""

import contextlib
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import av

from pipeline.engine import Engine
from pipeline.params import StyleParams
from pipeline.patch_blending import Blending
from pipeline.smoothing import Film
from streams.convert import to_picture, to_rgb
from streams.errors import SinkError, SourceError
from streams.protocol import Image, Result, Stylizer
from streams.sinks.recorder import Recorder
from streams.sources.file import FileSource

_SESSION = "file"
_T = TypeVar("_T")


def stylize_file(
    engine: Stylizer,
    source: FileSource,
    output: Path,
    style: StyleParams,
    on_frame: Callable[[dict[str, float]], None],
    blending: Blending | None = None,
) -> int:
    """Restyle a file; give the number of frames written. Blocks.

    With `blending`, frames are smoothed with each other: far slower, and only an Engine of this
    process can. `on_frame` gets each frame's milliseconds by stage. Raises SourceError or
    SinkError; a partial output is removed then.
    """
    recorder = Recorder(output, source.info.fps)
    count = 0
    try:
        if blending is None or style.bypass:
            pictures = _restyled(engine, source, style)
        else:
            pictures = _smoothed(engine, source, style, blending)
        for picture, stages in _ahead(pictures):
            started = time.perf_counter()
            recorder.write(picture)
            on_frame(stages | {"write": (time.perf_counter() - started) * 1000})
            count += 1
        if not count:
            raise SourceError("there is no frame in the video")
        recorder.close()
    except BaseException:
        with contextlib.suppress(SinkError):  # what it could not write went wrong already
            recorder.close()
        output.unlink(missing_ok=True)
        raise
    return count


def _restyled(
    engine: Stylizer, source: FileSource, style: StyleParams
) -> Iterator[tuple[av.VideoFrame, dict[str, float]]]:
    engine.open(_SESSION)
    try:
        for number, image in enumerate(_ahead(_images(engine, source))):
            if style.bypass:
                yield to_picture(image), {}
                continue
            while not engine.wants(_SESSION, style.steps):
                yield from map(_shown, engine.tick())
            # the video's own time: what takes seconds takes seconds of the video
            engine.submit(_SESSION, number, image, style, number / float(source.info.fps))
        while engine.in_flight:
            yield from map(_shown, engine.tick())
    finally:
        engine.close(_SESSION)


def _smoothed(
    engine: Stylizer, source: FileSource, style: StyleParams, blending: Blending
) -> Iterator[tuple[av.VideoFrame, dict[str, float]]]:
    assert isinstance(engine, Engine)
    images = _ahead(_images(engine, source))
    for image in Film(engine, style, blending).frames(images, float(source.info.fps)):
        yield to_picture(image), {}


def _images(engine: Stylizer, source: FileSource) -> Iterator[Image]:
    width, height = engine.config.width, engine.config.height
    return (to_rgb(picture, width, height) for picture in source)


def _ahead(items: Iterator[_T]) -> Iterator[_T]:
    """Give items one by one; the next one is made meanwhile in a thread beside."""
    end = object()
    with ThreadPoolExecutor(1, "ahead") as pool:
        coming = pool.submit(next, items, end)
        while (item := coming.result()) is not end:
            coming = pool.submit(next, items, end)
            yield item  # type: ignore[misc]  # not the end


def _shown(result: Result) -> tuple[av.VideoFrame, dict[str, float]]:
    return to_picture(result.image), result.stages_ms
