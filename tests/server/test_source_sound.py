"""Sound of a source on the server reaches viewers and recordings beside the restyled picture."""

import asyncio
import itertools
import statistics
from pathlib import Path

import pytest

from tests.server.conftest import Serve
from tests.server.marks import MarkedPlayer
from tests.server.players import live
from tests.server.test_sound import Slow
from tests.streams.clicks import EVERY, film, middle, offsets_in
from tests.streams.fakes import FakeEngine
from tests.streams.waiting import PATIENCE, eventually

_ALLOWED = 0.045  # seconds, as of a browser's sound


@pytest.mark.slow
@pytest.mark.parametrize("engine", [FakeEngine, Slow])
async def test_a_films_clicks_come_with_their_flashes_and_can_be_muted(
    engine: type[FakeEngine], serve: Serve, tmp_path: Path
) -> None:
    film(tmp_path / "marks.mp4", 12, 22_050)
    settings = {"source_folder": tmp_path, "recordings": tmp_path / "made"}
    async with serve(engine, **settings) as served:
        wanted = {"kind": "file", "at": "marks.mp4"}
        made = (await served.http.post("/api/sources", json=wanted)).json()
        path = f"/api/sessions/{made['id']}"
        assert (await served.http.get(path)).json()["source"]["sound"] is True
        output = await served.http.post(f"{path}/outputs", json={"kind": "recording"})
        player = MarkedPlayer()
        await live(served.http, made["id"])
        await player.watch(served.http, made["id"], made["viewer_token"])
        await asyncio.sleep(1.5)  # the delay follows the picture slowly
        player.noted.seen.clear()
        player.noted.loud.clear()
        offsets = await player.offsets(4)
        flashes = player.noted.flashes()
        recording = (await served.http.delete(output.headers["location"])).json()

        muted = await served.http.put(f"{path}/sound", json={"muted": True})
        assert muted.json()["muted"] is True
        async with asyncio.timeout(PATIENCE):
            while player.noted.heard:  # what was under way still comes
                player.noted.heard.clear()
                await asyncio.sleep(0.3)
        await served.http.put(f"{path}/sound", json={"muted": False})
        await eventually(lambda: bool(player.noted.heard))
        await player.close()
    gaps = [b - a for a, b in itertools.pairwise(flashes)]
    uneven = max(abs(gap - EVERY * round(gap / EVERY)) for gap in gaps)  # a busy machine's
    assert abs(statistics.median(offsets)) <= _ALLOWED + uneven, (offsets, uneven)
    recorded = [offset for _, offset in offsets_in(tmp_path / "made" / recording["target"], True)]
    assert len(recorded) >= 3
    offset, uneven = middle(recorded)
    assert abs(offset) <= _ALLOWED + uneven, recorded
