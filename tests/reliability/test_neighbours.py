"""The hostile sessions of `make chaos` are hostile: they send what they are meant to send."""

import pytest

from streams.aiortc_patches import receiving
from tests.reliability.neighbours import ACTS, Turning
from tests.server.client import Browser
from tests.server.conftest import Serve, serve
from tests.streams.waiting import eventually

__all__ = ["serve"]  # the fixture


@pytest.fixture
def refused(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """Collect the encoded pictures that are taken for too large."""
    found: list[bytes] = []
    judge = receiving.is_too_large

    def note(codec: str, data: bytes) -> bool:
        verdict = judge(codec, data)
        if verdict:
            found.append(data)
        return verdict

    monkeypatch.setattr(receiving, "is_too_large", note)
    return found


async def test_a_bomb_arrives_as_one(serve: Serve, refused: list[bytes]) -> None:
    async with serve() as served:
        browser, camera = Browser(), Turning()
        browser.camera = camera
        await browser.connect(served.http, bypass=True)
        await browser.level()
        assert not refused
        await ACTS["bomb"](browser, camera)
        await eventually(lambda: len(refused) > 3)
        await browser.close()


async def test_a_flood_is_more_than_is_let_through(serve: Serve) -> None:
    async with serve() as served:
        browser, camera = Browser(), Turning()
        browser.camera = camera
        await browser.connect(served.http, bypass=True)
        await browser.level()
        await ACTS["flood"](browser, camera)
        assert (await browser.hear("error"))["code"] == "too_fast"
        await browser.close()
