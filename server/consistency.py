"""`restyle consistency`: how still a stylized video holds, beside its input."""

import json
from itertools import zip_longest
from pathlib import Path

from tqdm import tqdm

from pipeline.metrics import Consistency
from streams.convert import to_rgb
from streams.errors import SourceError
from streams.sources.file import FileSource

_SIDE = 256  # pixels of both videos' longer side: motion is found there, and strokes still show


def consistency(source_path: Path, stylized_path: Path, as_json: bool) -> int:
    """Print the figures. Raises SourceError, also for videos of different lengths."""
    source, stylized = FileSource(source_path), FileSource(stylized_path)
    found = Consistency()
    try:
        pairs = zip_longest(source, stylized)
        for one, other in tqdm(pairs, total=source.info.frames or None, unit="frame", disable=None):
            if one is None or other is None:
                shorter = stylized_path if other is None else source_path
                raise SourceError(f"{shorter}: ends after {found.frames} frames, the other goes on")
            width, height = _size(other.width, other.height)
            found.add(to_rgb(one, width, height), to_rgb(other, width, height))
    finally:
        source.close()
        stylized.close()
    if not found.frames:
        raise SourceError(f"{source_path}: there is no frame in it")
    figures = {"frames": found.frames, **found.figures()}
    if as_json:
        print(json.dumps(figures, indent=2))
    else:
        for name, value in figures.items():
            print(f"{name:<22}{value}")
    return 0


def _size(width: int, height: int) -> tuple[int, int]:
    scale = min(1.0, _SIDE / max(width, height))
    return tuple(max(2, 2 * round(side * scale / 2)) for side in (width, height))  # type: ignore[return-value]  # two
