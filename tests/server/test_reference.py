"""POST /api/reference: a picture comes in, a prompt goes out; what is no picture is refused."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.embedded import WEIGHTS
from tests.server.conftest import Serve, Served
from tests.streams.fakes import ReadingEngine

NEON = WEIGHTS / "thumbnails" / "neon.webp"


def encoded(kind: str, path: Path = NEON) -> bytes:
    to = io.BytesIO()
    Image.open(path).convert("RGB").save(to, kind)
    return to.getvalue()


def bomb(side: int) -> bytes:
    """Give a PNG of a few kilobytes that says it is side × side pixels."""
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(bytes(200_000))), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in chunks
    )


def damaged(place: bytes) -> bytes:
    """Give a PNG with an empty colour profile before a chunk; behind the pixels Pillow stumbles."""
    data = encoded("png")
    at = data.index(place) - 4
    return (
        data[:at]
        + struct.pack(">I", 0)
        + b"iCCP"
        + struct.pack(">I", zlib.crc32(b"iCCP"))
        + data[at:]
    )


async def ask(served: Served, data: bytes, kind: str = "image/png") -> tuple[int, dict[str, str]]:
    answer = await served.http.post("/api/reference", content=data, headers={"content-type": kind})
    return answer.status_code, answer.json()


@pytest.mark.parametrize("kind", ["jpeg", "png", "webp"])
async def test_a_picture_is_read_as_a_prompt(serve: Serve, kind: str) -> None:
    async with serve(ReadingEngine) as served:
        assert (await served.http.get("/api/info")).json()["reference"] is True

        status, found = await ask(served, encoded(kind), f"image/{kind}")

    assert status == 200
    assert found == {"prompt": "neon lights at night", "hint": None}


async def test_a_plain_photo_gets_a_hint_instead(serve: Serve) -> None:
    chance = np.random.default_rng(0)
    grey = Image.fromarray(chance.normal(128, 2, (64, 64, 3)).clip(0, 255).astype(np.uint8))
    to = io.BytesIO()
    grey.save(to, "png")
    async with serve(ReadingEngine) as served:
        status, found = await ask(served, to.getvalue())
    assert status == 200
    assert (found["prompt"] == "") == (found["hint"] is not None)


@pytest.mark.parametrize(
    ("data", "kind", "status", "word"),
    [
        (b"", "image/png", 422, "no readable picture"),
        (b"no picture", "image/png", 422, "JPEG, PNG, WEBP"),
        (encoded("png")[:500], "image/png", 422, "no readable picture"),
        (encoded("gif"), "image/png", 422, "no readable picture"),
        (damaged(b"IDAT"), "image/png", 422, "no readable picture"),
        (damaged(b"IEND"), "image/png", 422, "no readable picture"),
        (bomb(30_000), "image/png", 422, "30000 × 30000"),
        (encoded("png"), "image/svg+xml", 415, "image/png"),
        (encoded("png"), "application/json", 415, "image/png"),
        (bytes(300_000), "image/png", 413, "262144"),
    ],
)
async def test_what_is_no_picture_is_refused(
    serve: Serve, data: bytes, kind: str, status: int, word: str
) -> None:
    async with serve(ReadingEngine) as served:
        found, problem = await ask(served, data, kind)
    assert found == status
    assert word in problem["detail"]


async def test_a_model_that_reads_none_says_so(served: Served) -> None:
    assert (await served.http.get("/api/info")).json()["reference"] is False

    status, problem = await ask(served, encoded("png"))

    assert (status, problem["code"]) == (409, "no_reference")
