"""A real TURN server, as the compose file starts it."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.streams.ports import free_port

SECRET = "what-both-servers-know"


@asynccontextmanager
async def coturn(folder: Path) -> AsyncIterator[str]:
    """Run coturn with what the compose file gives it, but for the addresses it must not reach."""
    program = shutil.which("turnserver")
    if program is None:
        pytest.skip("no coturn here (apt install coturn)")
    port = free_port()
    ours = Path(__file__).parents[2] / "docker" / "turnserver.conf"
    lines = [
        line
        for line in ours.read_text().splitlines()
        if not line.startswith(("denied-peer-ip", "listening-port"))
    ]
    (folder / "turnserver.conf").write_text("\n".join(lines))
    process = await asyncio.create_subprocess_exec(
        program, "-c", str(folder / "turnserver.conf"), f"--static-auth-secret={SECRET}",
        f"--listening-port={port}", "--listening-ip=127.0.0.1", "--relay-ip=127.0.0.1",
        "--allow-loopback-peers", f"--userdb={folder}/db", f"--pidfile={folder}/pid",
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL, cwd=folder,
    )  # fmt: skip
    try:
        yield f"turn:127.0.0.1:{port}"
    finally:
        process.terminate()
        await process.wait()
