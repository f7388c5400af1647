"""What viewers cost the server: its own process's time with 0, 1 and 10 WHEP players, as JSON.

python -m tests.bench.viewers [--seconds 12] [--viewers 0,1,10]

256 x 256 at 30 fps comes by WHIP, so nothing is encoded until somebody watches. The engine only
inverts, in a process of its own, which is not counted. The players decode on the same cores.
"""

import argparse
import asyncio
import json
import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
import psutil
from aiortc import MediaStreamTrack

from server.client import received
from streams.aiortc_patches import TransportSettings, install
from tests.bench.__main__ import machine
from tests.bench.client import Pictures
from tests.bench.scenarios import webcam
from tests.e2e.serving import LIGHT, TOKEN, Server, serving
from tests.server.players import Player, Publisher, session_of

_SIDE = 256
_SETTLE = 3.0  # seconds from the last player's answer


class Counting(Player):
    """A player that keeps no pictures, only their number."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def _on_track(self, track: MediaStreamTrack) -> None:
        self._reading = asyncio.create_task(self._read(track))

    async def _read(self, track: MediaStreamTrack) -> None:
        async for _ in received(track):
            self.count += 1


async def measure(server: Server, counts: Sequence[int], seconds: float) -> dict[str, Any]:
    """Let more and more watch; give what each number of players costs."""
    film, publisher = webcam(_SIDE, 60), Publisher()
    publisher.camera = Pictures(lambda number: film[number % len(film)])  # type: ignore[assignment]  # a camera, too
    players: list[Counting] = []
    headers = {"Authorization": f"Bearer {TOKEN}"}
    figures: dict[str, Any] = {}
    async with httpx.AsyncClient(base_url=server.url, headers=headers, timeout=20) as http:
        state = await session_of(http, await publisher.publish(http))
        size = {"width": _SIDE, "height": _SIDE}
        (await http.put(f"/api/sessions/{state['id']}/size", json=size)).raise_for_status()
        for count in sorted(counts):
            while len(players) < count:
                players.append(Counting())
                seen = await players[-1].watch(http, state["id"], state["viewer_token"])
                seen.raise_for_status()
            await asyncio.sleep(_SETTLE)
            figures[f"viewers_{count}"] = await _cost(server, players, seconds)
        await asyncio.gather(*(each.close() for each in (*players, publisher)))
    return figures


async def _cost(server: Server, players: Sequence[Counting], seconds: float) -> dict[str, Any]:
    process = psutil.Process(server.pid)
    for player in players:
        player.count = 0
    before, began = process.cpu_times(), time.monotonic()
    await asyncio.sleep(seconds)
    after, took = process.cpu_times(), time.monotonic() - began
    spent = after.user + after.system - before.user - before.system
    rates = [round(player.count / took, 1) for player in players]
    stats = server.api("GET", "/api/sessions")["sessions"][0]["stats"]
    return {
        "server_cpu_percent": round(100 * spent / took, 1),
        "fps_in": stats["fps_in"], "fps_out": stats["fps_out"],
        "fps_least": min(rates, default=None),
        "load": round(os.getloadavg()[0], 1),
    }  # fmt: skip


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=12)
    parser.add_argument("--viewers", default="0,1,10")
    given = parser.parse_args()
    counts = [int(count) for count in given.viewers.split(",")]
    install(TransportSettings())
    with (
        tempfile.TemporaryDirectory() as state,
        serving(Path(state), "--viewers", str(max(counts)), module=LIGHT) as server,
    ):
        figures = asyncio.run(measure(server, counts, given.seconds))
    print(json.dumps({"machine": machine()} | figures, indent=2))


if __name__ == "__main__":
    main()
