"""A flood of offers at the door of a server that has a guest: refused soon, unnoticed inside."""

import asyncio
import statistics
import time
from collections import Counter

import httpx

from tests.e2e.serving import Server
from tests.reliability.runs import Verdict, _errors, _figures, _http, _steady
from tests.reliability.sampling import sampled
from tests.server.client import Browser

OFFERS, CONNECTIONS = 1000, 20
_PENDING = 4  # unfinished offers of one address, as the settings have it
_GONE = 12.0  # seconds


async def admission(server: Server, seconds: float) -> Verdict:
    """Offers that never connect, a thousand over so many seconds, beside one styled session."""
    client, browser = await _steady(server), Browser()
    offer = {"sdp": await browser.offer(), "type": "offer"}
    answers, took, most = Counter[int](), list[float](), 0

    async def knock(http: httpx.AsyncClient, first: int) -> None:
        began = time.monotonic()
        for number in range(first, OFFERS, CONNECTIONS):
            await asyncio.sleep(max(0.0, began + seconds * number / OFFERS - time.monotonic()))
            asked = time.monotonic()
            answer = await http.post("/api/sessions", json=offer)
            answers[answer.status_code] += 1
            if answer.status_code != 201:
                assert "retry-after" in answer.headers
                took.append(1000 * (time.monotonic() - asked))

    async def watch(http: httpx.AsyncClient) -> None:
        nonlocal most
        while True:
            most = max(most, await _open(http))
            await asyncio.sleep(0.3)

    async with _http(server) as http, sampled(server, _figures(client)) as samples:
        await asyncio.sleep(10)
        before = len(samples)
        watching = asyncio.create_task(watch(http))
        await asyncio.gather(*(knock(http, number) for number in range(CONNECTIONS)))
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
    refused = statistics.quantiles(took, n=100)
    figures = {
        "answers": dict(answers),
        "refused_in_ms": {"p50": round(refused[49], 1), "p99": round(refused[98], 1)},
        "most_sessions": most,
        "gone_after_s": round(gone, 1),
        "fps_out": [calm[0], flooded[0]],
        "age_p95_ms": [calm[1], flooded[1]],
    }
    limits = {
        "only 201, 429 and 503": set(answers) <= {201, 429, 503},
        "99 of 100 are refused within 100 ms": refused[98] <= 100,
        f"at most {_PENDING} besides the guest": most <= 1 + _PENDING,
        f"all of them are gone after {_GONE:g} s": gone <= _GONE,
        "the guest has 95 % of its pictures": flooded[0] >= 0.95 * calm[0],
        # the ten: those who knock are on the same cores
        "their age p95 is at most 1.2 times what it was and 10 ms": flooded[1]
        <= 1.2 * calm[1] + 10,
        "no answer of 500": await _errors(server) == 0,
    }
    return figures, limits, samples


async def _open(http: httpx.AsyncClient) -> int:
    return len((await http.get("/api/sessions")).json()["sessions"])
