"""Twice the load in small: `make admission` has it with as many sessions as there are places."""

import pytest

from tests.reliability import twice
from tests.server.conftest import Serve, serve

__all__ = ["serve"]  # the fixture


async def test_those_without_a_place_are_told_and_one_that_gets_free_is_taken(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(twice, "_WINDOW", 0.0)
    async with serve(sessions=1, pending=4) as served:
        figures, limits = await twice.twice_the_load([served.http] * 2, 1)
        assert limits["who has no place gets 503 with Retry-After"], figures
        assert limits["a place is free again within 1 s"], figures
        assert figures["refused"] >= 2
