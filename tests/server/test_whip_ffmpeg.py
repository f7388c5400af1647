"""A publisher that is not ours: FFmpeg's WHIP muxer, where imageio-ffmpeg is installed."""

import asyncio

import pytest

from streams.aiortc_patches import TransportSettings, install
from tests.bench.whip import measure
from tests.server.conftest import TOKEN, Served
from tests.server.players import Player, listening, published

imageio_ffmpeg = pytest.importorskip("imageio_ffmpeg")


@pytest.mark.slow
async def test_ffmpeg_publishes_and_a_player_sees_it_restyled(served: Served) -> None:
    async with listening(served.app) as url:
        ffmpeg = await asyncio.create_subprocess_exec(
            imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-re",
            "-f", "lavfi", "-i", "color=c=0x3c3c3c:size=64x64:rate=30",
            "-c:v", "libx264", "-profile:v", "baseline", "-tune", "zerolatency", "-g", "30",
            "-pix_fmt", "yuv420p", "-authorization", TOKEN, "-f", "whip", f"{url}/whip?prompt=ink",
            stdin=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        player = Player()
        try:
            state = await published(served.http, ffmpeg)
            assert state["style"]["prompt"] == "ink"
            await player.watch(served.http, state["id"], state["viewer_token"])
            assert all(abs(level - 195) < 8 for level in await player.levels(10))
        finally:
            if ffmpeg.returncode is None:
                ffmpeg.kill()
            await ffmpeg.communicate()
            await player.close()


@pytest.mark.long
async def test_of_what_ffmpeg_publishes_players_and_streams_lose_at_most_a_hundredth() -> None:
    install(TransportSettings())
    figures = await measure(5)
    for receiver in ("whep", "rtmp"):
        assert figures[receiver]["sent"] > 100, figures
        assert figures[receiver]["lost_percent"] <= 1, figures
