"""Which files the product writes while it restyles: none with a picture or a prompt in it."""

import asyncio
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest

from server.client import Client
from tests.e2e.serving import TOKEN, Server, serving
from tests.reliability.sampling import tree
from tests.streams.waiting import until

CANARY = "canary pencil drawing 8421"
ROOT = Path(__file__).parents[2]
SHARED = Path("/dev/shm")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not hasattr(psutil.Process, "io_counters"), reason="macOS does not count"),
]


def test_a_session_leaves_neither_picture_nor_prompt_on_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "restyle"
    cache = tmp_path / "cache" / "restyle"
    if filled.exists():  # a copy: models need not be converted anew, and others write to theirs
        shutil.copytree(filled, cache)
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache.parent))
    for variable in ("HOME", "TMPDIR"):
        (tmp_path / variable).mkdir()
        monkeypatch.setenv(variable, str(tmp_path / variable))
    shared = set(SHARED.glob("*"))
    with serving(tmp_path / "state") as server:
        began, before = time.time(), written_by(server)
        asyncio.run(restyle_a_while(server))
        assert written_by(server) - before < 16_384  # of pictures that came to megabytes
        during = set(changed_since(began, tmp_path, ROOT / "server"))
    after = set(changed_since(began, tmp_path, ROOT / "server"))
    for path in during | after:
        content = path.read_bytes() if path.exists() else b""
        assert CANARY.encode() not in content, path
        assert len(content) < 4096, path  # a token, at most
    left = set(SHARED.glob("*")) - shared
    until(lambda: not any(path.exists() for path in left))  # others' come and go


async def restyle_a_while(server: Server) -> None:
    """Send pictures of noise, which no encoder makes small, and change the prompt midway."""
    async with Client(server.url, TOKEN) as client:
        await client.connect(prompt=CANARY)
        sending = asyncio.create_task(send(client))
        for number in range(30):
            await client.receive()
            if number == 15:
                await client.change(prompt=f"{CANARY} in ink", negative_prompt=CANARY)
        sending.cancel()


async def send(client: Client) -> None:
    random = np.random.default_rng(0)
    while True:
        client.send(random.integers(0, 255, (256, 256, 3), np.uint8))
        await asyncio.sleep(1 / 20)


def written_by(server: Server) -> int:
    """Give the bytes that the server and its children have handed to a disk."""
    processes = tree(psutil.Process(server.pid))
    return sum(process.io_counters().write_bytes for process in processes)


def changed_since(moment: float, *folders: Path) -> Iterator[Path]:
    """Give the files below folders that were written since."""
    for folder in folders:
        for path in folder.rglob("*"):
            if "__pycache__" in path.parts:  # by whichever test first needs a module
                continue
            if path.is_file() and path.stat().st_mtime >= moment:
                yield path
