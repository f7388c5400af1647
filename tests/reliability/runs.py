"""Soak, churn and chaos: each runs for some seconds and says what it saw against its limits."""

import asyncio
import os
import random
import signal
import ssl
import statistics
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import psutil
from aiortc import RTCConfiguration, RTCPeerConnection

from tests.bench.client import Client, Pictures
from tests.bench.scenarios import webcam
from tests.e2e.serving import TOKEN, Server
from tests.fuzz.mutation import mutate
from tests.fuzz.targets import CORPUS
from tests.reliability.gc_pauses import told
from tests.reliability.neighbours import ACTS, share_left
from tests.reliability.sampling import (
    PAUSE,
    Sample,
    age_drift,
    growth,
    look,
    sampled,
    settled,
    slope,
    stands_still,
    tasks,
    tasks_of,
    unheard,
)
from tests.server.client import Browser

_LONG = 600  # seconds from which a slope says more than noise
# one for all clients: each would read the machine's certificates, and the loop stands meanwhile
_NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
# of what meets a session while it ends: done, or no such session, or refused for another reason
_ENDING = (200, 201, 404, 405, 409, 415, 422, 429, 503)
_UNHEARD = "no error or coroutine that nobody awaited in the log"
Verdict = tuple[dict[str, Any], dict[str, bool], list[Sample]]


async def soak(server: Server, seconds: float) -> Verdict:
    """One styled session: what grows, and does the age drift?"""
    client, begun = await _steady(server), len(server.lines)
    async with sampled(server, _figures(client)) as samples:
        await asyncio.sleep(seconds)
    await client.close()
    grown, drift, pause = growth(samples), age_drift(samples), told(server.lines[begun:])
    per_hour = 3600 * slope([(s.at_s, s.rss_mb) for s in settled(samples)])
    figures = grown | {
        "rss_slope_mb_per_hour": round(per_hour, 1),
        "age_p95_drift_ms": round(drift, 1),
        "gc_pause_ms": pause,
        "unheard": unheard(server),
        "fps_out_median": statistics.median(s.fps_out or 0 for s in settled(samples)),
    }
    limits = stands_still(grown) | {
        _UNHEARD: not unheard(server),
        f"garbage is collected within {PAUSE:g} ms": pause <= PAUSE,
        "pictures came all the time": all(s.fps_out for s in settled(samples)),
    }
    if seconds >= _LONG:
        limits["rss slope is at most 5 MB an hour"] = per_hour <= 5
        limits["age p95 drifts by at most 10 ms"] = drift <= 10
    return figures, limits, samples


async def churn(server: Server, seconds: float) -> Verdict:
    """Visits of every kind, also those that end badly or never begin; then all is as before."""
    process, done = psutil.Process(server.pid), Counter[str]()
    kinds = (_clean, _vanish, _half_open, _renew_while_ending, _data_channel_alone)
    async with sampled(server) as samples:
        await _cycle(server, kinds, seconds / 3, done)  # the first visits grow the heap
        await _empty(server)
        before = look(process, seconds / 3, tasks=await tasks_of(server))
        await _cycle(server, kinds, seconds * 2 / 3, done)
        await _empty(server)
    after = look(process, seconds, tasks=await tasks_of(server))
    figures = {
        "visits": dict(done),
        "rss_mb": [before.rss_mb, after.rss_mb],
        "fds": [before.fds, after.fds],
        "threads": [before.threads, after.threads],
        "tasks": [before.tasks, after.tasks],
        "unheard": unheard(server),
    }
    limits = {
        "every session is over": not server.api("GET", "/api/sessions")["sessions"],
        "rss grows by at most 20 MB": after.rss_mb - before.rss_mb <= 20,
        "descriptors as before": after.fds <= before.fds,
        "threads as before": after.threads <= before.threads,
        "tasks as before": (after.tasks or 0) <= (before.tasks or 0),
        _UNHEARD: not unheard(server),
        "no answer of 500": await _errors(server) == 0,
        "visits were made": min(done[kind.__name__[1:]] for kind in kinds) > 0,
    }
    return figures, limits, samples


async def chaos(server: Server, seconds: float) -> Verdict:
    """Hostile and unlucky neighbours of one session, which must not notice but for a pause.

    First what another session does, each kind at least once, for half of the time.
    """
    client, done, chance = await _steady(server), Counter[str](), random.Random(1)
    faults = (_raw_requests, _silent_sockets, _foreign_datagrams, _vanish, _half_open, _pause)
    async with sampled(server, _figures(client)) as samples:
        await asyncio.sleep(10)
        calm = statistics.median(s.fps_out or 0 for s in samples[4:])
        end = time.monotonic() + seconds
        shares = await _neighbours(server, client, end - seconds / 2, done)
        while time.monotonic() < end:
            fault = chance.choice(faults)
            await _try(fault, server, done)
            await asyncio.sleep(0.5)
        await _empty(server, besides=1)
        await asyncio.sleep(10)
        left = await tasks_of(server)
        after = statistics.median(s.fps_out or 0 for s in samples[-5:])
        state = await client.state()
    await client.close()
    await _empty(server)
    figures = {
        "faults": dict(done),
        "fps_in_after": state["stats"]["fps_in"],
        "fps_out_before": calm,
        "fps_out_after": after,
        "share_of_fps_left": shares,
        "tasks": [tasks(samples[4:10]), left],
        "unheard": unheard(server),
    }
    limits = {
        "the session lives": state["state"] == "live",
        "its input comes as before, 30 a second": state["stats"]["fps_in"] >= 27,
        # the model's speed hangs on what else the machine does; a stall would show as far less
        "its output too, within 30 %": calm > 0 and after >= 0.7 * calm,
        "bombs, floods and stalls were there": all(shares.values()),
        "each leaves others 0.9 of their pictures": all(
            statistics.median(each) >= 0.9 for each in shares.values() if each
        ),
        "no task more": left is not None and left <= tasks(samples[4:10]),
        _UNHEARD: not unheard(server),
        "no answer of 500": await _errors(server) == 0,
        "no frame failed": await asyncio.to_thread(server.metric, "restyle_frames_failed_total")
        == 0,
    }
    return figures, limits, samples


async def _neighbours(
    server: Server, guest: Client, until: float, done: Counter[str]
) -> dict[str, list[float]]:
    """Let sessions misbehave beside a guest; give the share of its pictures that each left it."""
    shares: dict[str, list[float]] = {act: [] for act in ACTS}
    async with _http(server) as http:
        while True:
            for act, found in shares.items():
                try:
                    found.append(round(await share_left(http, guest, act), 3))
                    done[act] += 1
                except (httpx.HTTPError, TimeoutError):
                    done[f"{act}, cut short"] += 1
            if time.monotonic() > until:
                return shares


async def _steady(server: Server) -> Client:
    picture, client = webcam(256, 30), Client(server.url, TOKEN)
    track = Pictures(lambda number: picture[number % len(picture)])
    await client.connect(track, {"prompt": "a pencil drawing"}, lambda *_: None)
    await asyncio.wait_for(client.received.wait(), 15)
    return client


def _figures(client: Client) -> Any:
    async def ask() -> tuple[float | None, float | None]:
        try:
            stats = (await client.state())["stats"]
        except httpx.HTTPError:  # chaos: wrong tokens from this address, or a server that is paused
            return None, None
        return stats["age_ms"]["p95"], stats["fps_out"]

    return ask


async def _cycle(server: Server, kinds: Any, seconds: float, done: Counter[str]) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for kind in kinds:
            await _try(kind, server, done)


async def _try(what: Any, server: Server, done: Counter[str]) -> None:
    name = what.__name__[1:]
    try:
        await what(server)
        done[name] += 1
    except (httpx.HTTPError, TimeoutError):  # no time on this machine, or the fault's own doing
        done[f"{name}, cut short"] += 1


async def _visit(server: Server, leave: bool) -> None:
    browser = Browser()
    try:
        async with _http(server) as http:
            answer = await browser.connect(http)
            if answer.status_code == 201:
                await browser.level()
                if leave:
                    await http.delete(answer.headers["location"])
    finally:
        await browser.close()


async def _clean(server: Server) -> None:
    await _visit(server, leave=True)


async def _vanish(server: Server) -> None:
    await _visit(server, leave=False)


async def _half_open(server: Server) -> None:
    browser = Browser()
    async with _http(server) as http:
        body = {"sdp": await browser.offer(), "type": "offer"}
        answer = await http.post("/api/sessions", json=body)
        assert answer.status_code in (201, 429, 503), answer.text
    await browser.close()


async def _renew_while_ending(server: Server) -> None:
    """Offer a session anew, patch it and restyle it while it is being ended, twice."""
    browser, again = Browser(), Browser()
    try:
        async with _http(server) as http:
            made = await browser.connect(http)
            if made.status_code != 201:
                return
            path = made.headers["location"]
            answers = await asyncio.gather(
                http.delete(path),
                again.connect(http, resume=made.json()["resume"]),
                http.patch(path, json={"prompt": "too late"}),
                http.patch(f"/whip/{path.rsplit('/', 1)[1]}", content="a=ice-ufrag:anew"),
                http.delete(path),
            )
            for answer in answers:
                assert answer.status_code in _ENDING, answer.text
            if answers[1].status_code == 201:
                await again.level()
                await http.delete(answers[1].headers["location"])
    finally:
        await asyncio.gather(browser.close(), again.close())


async def _data_channel_alone(server: Server) -> None:
    """Offer a data channel without any picture: there is nothing to serve."""
    connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    connection.createDataChannel("control")
    await connection.setLocalDescription(await connection.createOffer())
    body = {"sdp": connection.localDescription.sdp, "type": "offer"}
    async with _http(server) as http:
        answer = await http.post("/api/sessions", json=body)
    await connection.close()
    assert answer.status_code in (422, 429, 503), answer.text


async def _raw_requests(server: Server) -> None:
    samples = [path.read_bytes() for path in sorted((CORPUS / "http").iterdir())]
    chance = random.Random()
    for _ in range(20):
        reader, writer = await asyncio.open_connection("127.0.0.1", int(server.url.split(":")[-1]))
        with suppress(ConnectionError):
            writer.write(mutate(chance.choice(samples), samples, chance))
            writer.write_eof()
            await asyncio.wait_for(reader.read(), 5)
        writer.close()


async def _silent_sockets(server: Server) -> None:
    port = int(server.url.split(":")[-1])
    pairs = [await asyncio.open_connection("127.0.0.1", port) for _ in range(20)]
    await asyncio.sleep(0.5)
    for _, writer in pairs:
        writer.close()


async def _foreign_datagrams(server: Server) -> None:
    loop = asyncio.get_running_loop()
    for found in psutil.Process(server.pid).net_connections("udp"):
        transport, _ = await loop.create_datagram_endpoint(
            asyncio.DatagramProtocol, remote_addr=found.laddr
        )
        for size in (1, 20, 200, 1200):
            transport.sendto(random.randbytes(size))
        transport.sendto(bytes.fromhex("15fefd000000000000000000020228"))  # a fatal DTLS alert
        transport.close()


async def _pause(server: Server) -> None:
    os.kill(server.pid, signal.SIGSTOP)
    await asyncio.sleep(1)
    os.kill(server.pid, signal.SIGCONT)


async def _empty(server: Server, besides: int = 0) -> None:
    """Wait until every other session is over and its connection closed; raises TimeoutError.

    429 is no answer yet: wrong tokens of `_raw_requests` count against this address for a minute.
    """
    async with asyncio.timeout(100), _http(server) as http:
        while True:
            answer = await http.get("/api/sessions")
            if answer.status_code == 200 and len(answer.json()["sessions"]) <= besides:
                break
            assert answer.status_code in (200, 429), answer.text
            await asyncio.sleep(0.5)
    await asyncio.sleep(3)


async def _errors(server: Server) -> float:
    return await asyncio.to_thread(server.metric, "restyle_http_answers_total", 'status="500"')


def _http(
    server: Server, address: str | None = None, limits: httpx.Limits | None = None
) -> httpx.AsyncClient:
    """Make a client with the main token; it may speak from another address of this machine."""
    return httpx.AsyncClient(
        base_url=server.url,
        headers={"Authorization": f"Bearer {TOKEN}"},
        timeout=20,
        transport=httpx.AsyncHTTPTransport(
            _NO_TLS, local_address=address, limits=limits or httpx.Limits()
        ),
    )


RUNS = {"soak": soak, "churn": churn, "chaos": chaos}
BUILD = Path("build")
