"""A reference picture instead of words: its style, written as a prompt."""

from functools import lru_cache
from io import BytesIO
from pathlib import Path

import numpy as np
from fastapi import APIRouter, Request
from PIL import Image

from pipeline.models.folder import Preset
from pipeline.reference import Picture, Reference
from server.aside import aside
from server.errors import ApiError
from server.loading import engine_of
from server.routes.context import Here, OwnerOnly
from server.schema.style import StyleOfPicture

router = APIRouter(prefix="/api/reference", tags=["sessions"])

_MOST_PIXELS = 8_300_000  # a picture of 4K; what is larger may be a bomb
_FORMATS = ("JPEG", "PNG", "WEBP")
Image.MAX_IMAGE_PIXELS = None  # Pillow's own limit is higher, and warns where ours refuses


@router.post(
    "",
    dependencies=[OwnerOnly],
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {
                f"image/{kind.lower()}": {"schema": {"type": "string", "format": "binary"}}
                for kind in _FORMATS
            },
        }
    },
)
async def read(request: Request, here: Here) -> StyleOfPicture:
    """Say which of the model's styles a picture (JPEG, PNG, WebP) looks like. Nothing is kept."""
    engine = engine_of(here.worker)
    if engine.reference is None:
        raise ApiError("no_reference", f"{engine.model} reads no reference pictures")
    found = await aside(_prompt, engine.reference, engine.presets, await request.body())
    hint = None if found else "This picture looks like a plain photo: none of the styles."
    return StyleOfPicture(prompt=found, hint=hint)


def _prompt(folder: Path, presets: tuple[Preset, ...], data: bytes) -> str:
    return _loaded(folder, presets).prompt(_decoded(data))


@lru_cache(maxsize=1)
def _loaded(folder: Path, presets: tuple[Preset, ...]) -> Reference:
    return Reference(folder, presets)


def _decoded(data: bytes) -> Picture:
    """Decode a picture whose header says a size that fits. Raises ApiError."""
    kinds = ", ".join(_FORMATS)
    try:
        with Image.open(BytesIO(data), formats=_FORMATS) as picture:
            width, height = picture.size
            if width * height > _MOST_PIXELS:
                raise ApiError(
                    "invalid",
                    f"a picture of {width} × {height}; {_MOST_PIXELS / 1e6:.1f} million pixels fit",
                )
            return np.array(picture.convert("RGB"))
    except ApiError:
        raise
    except Exception as error:  # of a damaged picture Pillow raises what its damage led to
        raise ApiError("invalid", f"no readable picture; {kinds} are read") from error
