"""Slow, many and hungry connections, over real sockets."""

import asyncio
import json
import socket
import ssl
import statistics
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from uvicorn.server import ServerState

from server.connections import Connection
from server.listener import _TOLD, Listener
from server.serve import _uvicorn_config
from server.settings import Settings
from tests.server.client import Browser
from tests.server.conftest import TOKEN, Serve, Served
from tests.server.test_tls import write_certificate
from tests.streams.waiting import PATIENCE, eventually

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
_LENGTH = b"Content-Type: application/json\r\nContent-Length: 1000\r\n\r\n"
_OWNER = f"Authorization: Bearer {TOKEN}\r\n".encode()


class Port:
    """A served application's port."""

    def __init__(self, served: Served, port: int) -> None:
        self.served, self._port = served, port

    async def connect(self, tls: ssl.SSLContext | None = None) -> Streams:
        return await asyncio.open_connection("127.0.0.1", self._port, ssl=tls)


@asynccontextmanager
async def listening(
    serve: Serve, tls: ssl.SSLContext | None = None, **values: object
) -> AsyncIterator[Port]:
    async with serve(**values) as served:
        settings = Settings(token=TOKEN, **values)  # type: ignore[arg-type]  # tests
        config, state = _uvicorn_config(served.app, settings), ServerState()
        listener = Listener(socket.AF_INET, settings.connections_per_address)
        listener.bind(("127.0.0.1", 0))
        server = await asyncio.get_running_loop().create_server(
            lambda: Connection(config, state, {}, settings=settings), sock=listener, ssl=tls
        )
        try:
            yield Port(served, server.sockets[0].getsockname()[1])
        finally:
            server.close()
            for connection in list(state.connections):
                connection.transport.abort()
            await server.wait_closed()


async def closed_after(streams: Streams, trickle: bytes) -> tuple[float, bytes]:
    """Send a byte at a time; give the seconds until the end, and what was answered."""
    reader, writer = streams
    began = time.monotonic()

    async def send() -> None:
        for at in range(len(trickle)):
            writer.write(trickle[at : at + 1])
            await asyncio.sleep(0.1)

    sending = asyncio.create_task(send())
    answer = b""
    try:
        async with asyncio.timeout(PATIENCE):
            while got := await reader.read(4096):
                answer += got
    except ConnectionResetError:
        pass
    sending.cancel()
    writer.close()
    return time.monotonic() - began, answer


async def test_headers_that_come_slowly_or_never_end_the_connection(serve: Serve) -> None:
    async with listening(serve, header_s=0.5) as port:
        silent, slow = await asyncio.gather(port.connect(), port.connect())
        slow[1].write(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nX: ")
        results = await asyncio.gather(closed_after(silent, b""), closed_after(slow, b"x" * 80))
        assert all(0.4 < seconds < 5 and not answer for seconds, answer in results), results


async def test_a_body_that_comes_slowly_ends_the_connection_and_is_no_fault(serve: Serve) -> None:
    async with listening(serve, body_s=0.5, header_s=60) as port:
        offer, whip = await asyncio.gather(port.connect(), port.connect())
        sdp = _LENGTH.replace(b"json", b"sdp")
        for (_, writer), path, rest in (
            (offer, b"/api/sessions", _LENGTH), (whip, b"/whip", sdp),
        ):  # fmt: skip
            writer.write(b"POST " + path + b" HTTP/1.1\r\nHost: 127.0.0.1\r\n" + _OWNER + rest)
        results = await asyncio.gather(
            closed_after(offer, b"x" * 80), closed_after(whip, b"x" * 80)
        )
        assert all(0.4 < seconds < 5 and not answer for seconds, answer in results), results
        await asyncio.sleep(0.1)
        assert not [s for _, s in port.served.app.state.answers if s >= 500]
        assert port.served.sessions == 0


async def test_a_body_that_nobody_waits_for_ends_the_connection_too(serve: Serve) -> None:
    async with listening(serve, body_s=0.5, header_s=60) as port:
        streams = await port.connect()
        streams[1].write(b"POST /api/sessions HTTP/1.1\r\nHost: evil.example\r\n" + _LENGTH)
        seconds, answer = await closed_after(streams, b"x" * 80)
        assert answer.startswith(b"HTTP/1.1 400"), answer
        assert 0.4 < seconds < 5


async def test_a_body_that_turns_out_to_be_no_http_is_answered_once_and_is_no_fault(
    serve: Serve,
) -> None:
    async with listening(serve) as port:
        reader, writer = await port.connect()
        chunked = b"Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
        writer.write(b"POST /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n" + chunked + b"no\r\n")
        assert (await reader.read()).startswith(b"HTTP/1.1 400")
        writer.close()
        await asyncio.sleep(0.1)
        assert not [s for _, s in port.served.app.state.answers if s >= 500]


async def test_a_connection_is_kept_between_requests(serve: Serve) -> None:
    async with listening(serve, header_s=2) as port:
        reader, writer = await port.connect()
        for number in range(6):
            await asyncio.sleep(0.45 if number else 0)  # together longer than one deadline
            writer.write(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")
        writer.close()


async def test_an_address_has_so_many_connections_and_no_more(serve: Serve) -> None:
    async with listening(serve, connections_per_address=3) as port:
        held = [await port.connect() for _ in range(3)]
        reader, writer = await port.connect()
        answer = (await reader.read()).decode()
        writer.close()
        assert answer.startswith("HTTP/1.1 429")
        assert "retry-after: 5" in answer
        assert json.loads(answer.split("\r\n\r\n")[1])["code"] == "too_many_connections"
        held.pop()[1].close()
        await eventually(lambda: answered(port))
        for _, other in held:
            other.close()


async def test_handshakes_that_never_end_are_connections_of_an_address_too(
    serve: Serve, tmp_path: Path
) -> None:
    certificate, key = write_certificate(tmp_path)
    own = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    own.load_cert_chain(certificate, key)
    trusting = ssl.create_default_context(cafile=certificate)
    async with listening(serve, own, connections_per_address=2) as port:
        silent = [await port.connect() for _ in range(2 + _TOLD)]
        await asyncio.sleep(0.1)  # they are accepted
        assert not await answered(port, trusting)
        assert not any(reader.at_eof() for reader, _ in silent)
        silent.pop()[1].close()
        await eventually(lambda: answered(port, trusting))
        for _, writer in silent:
            writer.close()


async def answered(port: Port, tls: ssl.SSLContext | None = None) -> bool:
    """Say whether one more connection gets an answer."""
    try:
        reader, writer = await port.connect(tls)
    except ConnectionError:  # it was cut
        return False
    try:
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
        return (await reader.read()).startswith(b"HTTP/1.1 200")
    except ConnectionResetError:
        return False
    finally:
        writer.close()


async def test_a_flood_of_offers_is_refused_at_once_and_makes_nothing(serve: Serve) -> None:
    async with listening(serve, sessions=1) as port:
        browser, flood = Browser(), Browser()
        await browser.connect(port.served.http)
        body = json.dumps({"sdp": await flood.offer(), "type": "offer"}).encode()
        tasks = len(asyncio.all_tasks())
        length = f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        head = b"POST /api/sessions HTTP/1.1\r\nHost: 127.0.0.1\r\n" + _OWNER + length.encode()
        took = []

        async def offers() -> None:
            reader, writer = await port.connect()
            for _ in range(25):
                began = time.monotonic()
                writer.write(head + body)
                answer = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
                took.append(time.monotonic() - began)
                assert answer.startswith("http/1.1 503")
                assert "retry-after: 3" in answer
                size = int(answer.split("content-length: ")[1].split("\r\n")[0])
                await reader.readexactly(size)
            writer.close()

        try:
            await asyncio.gather(offers(), offers())
            assert statistics.median(took) <= 0.1, sorted(took)
            assert port.served.sessions == 1
            assert len(asyncio.all_tasks()) <= tasks + 8  # connections that are just closing
            assert abs(await browser.level() - 195) < 8
        finally:
            await browser.close()
            await flood.close()
