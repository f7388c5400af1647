"""A flood of offers at the door of a full server that has a guest: refused soon, unnoticed inside.

Half of the offers come from one address of the loopback network, the others from 49 more (Linux).
And real clients, twice as many as there are places.
"""

import asyncio
import statistics
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import httpx

from tests.e2e.serving import Server
from tests.reliability.runs import _UNHEARD, Verdict, _errors, _figures, _http, _steady
from tests.reliability.sampling import sampled, unheard
from tests.reliability.twice import twice_the_load
from tests.server.client import Browser

OFFERS, CONNECTIONS, ADDRESSES = 1000, 20, 50
_GONE = 12.0  # seconds


async def admission(server: Server, seconds: float) -> Verdict:
    """Offers that never connect, a thousand over so many seconds, beside one styled session."""
    client, browser = await _steady(server), Browser()
    offer = {"sdp": await browser.offer(), "type": "offer"}
    answers, most = Counter[int](), 0
    took: dict[int, list[float]] = {429: [], 503: []}  # milliseconds
    slots = await _places(server)

    async def knock(doors: list[httpx.AsyncClient], first: int) -> None:
        began = time.monotonic()
        for number in range(first, OFFERS, CONNECTIONS):
            await asyncio.sleep(max(0.0, began + seconds * number / OFFERS - time.monotonic()))
            door = doors[1 + number // 2 % (ADDRESSES - 1) if number % 2 else 0]
            asked = time.monotonic()
            answer = await door.post("/api/sessions", json=offer)
            answers[answer.status_code] += 1
            if answer.status_code in took:
                assert "retry-after" in answer.headers
                took[answer.status_code].append(1000 * (time.monotonic() - asked))

    async def watch(http: httpx.AsyncClient) -> None:
        nonlocal most
        while True:
            most = max(most, await _open(http))
            await asyncio.sleep(0.3)

    async with (
        _http(server) as http,
        _doors(server, ADDRESSES) as doors,
        sampled(server, _figures(client)) as samples,
    ):
        await asyncio.sleep(10)
        before = len(samples)
        watching = asyncio.create_task(watch(http))
        await asyncio.gather(*(knock(doors, number) for number in range(CONNECTIONS)))
        during, last = samples[before + 1 :], time.monotonic()
        watching.cancel()
        while await _open(http) > 1 and time.monotonic() - last < 60:  # noqa: ASYNC110
            await asyncio.sleep(0.1)
        gone = time.monotonic() - last
    await client.close()
    await browser.close()
    calm, flooded = (
        (
            statistics.median(s.fps_out or 0 for s in part),
            statistics.median(s.age_p95_ms or 0 for s in part),
        )
        for part in (samples[2:before], during)
    )
    refused = {status: _percentiles(ms) for status, ms in took.items()}
    figures = {
        "answers": dict(answers),
        "refused_in_ms": refused,
        "most_sessions": most,
        "gone_after_s": round(gone, 1),
        "fps_out": [calm[0], flooded[0]],
        "age_p95_ms": [calm[1], flooded[1]],
        "unheard": unheard(server),
    }
    limits = {
        "only 201, 429 and 503": set(answers) <= {201, 429, 503},
        "some are refused": any(refused.values()),
        "99 of 100 are refused within 100 ms": all(
            ms["p99"] <= 100 for ms in refused.values() if ms
        ),
        f"at most {slots} sessions": most <= slots,
        f"all of them are gone after {_GONE:g} s": gone <= _GONE,
        "the guest has 95 % of its pictures": flooded[0] >= 0.95 * calm[0] > 0,
        # the ten: those who knock are on the same cores
        "their age p95 is at most 1.2 times what it was and 10 ms": flooded[1]
        <= 1.2 * calm[1] + 10,
        "no answer of 500": await _errors(server) == 0,
        _UNHEARD: not unheard(server),
    }
    return figures, limits, samples


async def twice(server: Server, seconds: float) -> tuple[dict[str, Any], dict[str, bool]]:
    """Let twice as many real clients come as can be served, and look at them for so long."""
    async with _doors(server, 2 * await _places(server)) as doors:
        return await twice_the_load(doors, seconds)


@asynccontextmanager
async def _doors(server: Server, addresses: int) -> AsyncIterator[list[httpx.AsyncClient]]:
    """Make a client for each address that offers come from; each offer has its own connection."""
    once = httpx.Limits(max_keepalive_connections=0)
    async with AsyncExitStack() as stack:
        yield [
            await stack.enter_async_context(_http(server, f"127.0.1.{host}", once))
            for host in range(1, addresses + 1)
        ]


async def _places(server: Server) -> int:
    info = await asyncio.to_thread(server.api, "GET", "/api/info")
    return int(info["slots"])


def _percentiles(ms: list[float]) -> dict[str, float]:
    """Give p50 and p99 of some milliseconds; nothing of fewer than two."""
    if len(ms) < 2:
        return {}
    of_100 = statistics.quantiles(ms, n=100)
    return {"count": len(ms), "p50": round(of_100[49], 1), "p99": round(of_100[98], 1)}


async def _open(http: httpx.AsyncClient) -> int:
    return len((await http.get("/api/sessions")).json()["sessions"])
