"""Messages of a data channel: what is too much ends its own connection, and nobody else's."""

import asyncio
import json
import struct
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from aiortc import rtcsctptransport as sctp
from aiortc.rtcsctptransport import DataChunk, RTCSctpTransport, SackChunk

from streams.aiortc_patches import TransportSettings, install
from streams.aiortc_patches.association import LONGEST_MESSAGE
from tests.server.client import Browser
from tests.server.conftest import Serve, serve
from tests.server.test_media_processes import come, gap, media
from tests.streams.waiting import eventually

__all__ = ["serve"]  # the fixture
FIRST, LAST, UNORDERED = 2, 1, 4


class Wire:
    """A DTLS transport that is only an end: what is sent stays here."""

    state = "connected"
    _role = "server"

    def __init__(self) -> None:
        self.sent: list[bytes] = []

    async def _send_data(self, data: bytes) -> None:
        self.sent.append(data)

    def _unregister_data_receiver(self, receiver: object) -> None: ...


@pytest.fixture
async def association() -> AsyncIterator[RTCSctpTransport]:
    install(TransportSettings())
    made = RTCSctpTransport(Wire())  # type: ignore[arg-type]  # a part
    made._association_state = made.State.ESTABLISHED
    made._last_received_tsn, made._remote_port = 0, 5000
    yield made
    await made.stop()


def packet(to: RTCSctpTransport, *chunks: bytes) -> bytes:
    """Make a packet of chunks as they are, with its checksum."""
    head = struct.pack("!HHL", 5000, 5000, to._local_verification_tag)
    body = b"".join(chunks)
    return head + struct.pack("<L", sctp.crc32c(head + bytes(4) + body)) + body


def piece(tsn: int, flags: int, data: bytes, stream: int = 1, protocol: int = 51) -> bytes:
    chunk = DataChunk(flags=flags)
    chunk.tsn, chunk.stream_id, chunk.protocol, chunk.user_data = tsn, stream, protocol, data
    return bytes(chunk)


async def sent_until_closed(to: RTCSctpTransport, packets: Iterator[bytes]) -> int:
    """Send until the association is closed; give how many packets that took."""
    for count, one in enumerate(packets, 1):
        try:
            await to._handle_data(packet(to, one))
        except ConnectionError:
            assert to.state == "closed"
            return count
    raise AssertionError("it was never closed")


def heard(by: RTCSctpTransport) -> list[str]:
    """Collect what the channel of stream 1 says."""
    said: list[str] = []

    class Channel:
        def emit(self, event: str, text: str) -> None:
            said.append(text)

        def _setReadyState(self, state: str) -> None: ...

    by._data_channels[1] = Channel()  # type: ignore[assignment]  # a part
    return said


async def test_the_longest_style_arrives(association: RTCSctpTransport) -> None:
    said = heard(association)
    prompt = "\U0001f3a8" * 500
    style = {"prompt": prompt, "negative_prompt": prompt, "seed": 2**32 - 1, "strength": 1 / 3}
    text = json.dumps({"type": "style", "seq": 2**53, "style": style | {"travel": 100 / 3}})
    assert 12_000 < len(text) < LONGEST_MESSAGE - 2000
    pieces = [text[at : at + 1000].encode() for at in range(0, len(text), 1000)]
    for tsn, data in enumerate(pieces, 1):
        flags = (FIRST if tsn == 1 else 0) | (LAST if tsn == len(pieces) else 0)
        await association._handle_data(packet(association, piece(tsn, flags, data)))
    assert said == [text]
    assert association.state != "closed"


@pytest.mark.parametrize("ordered", [0, UNORDERED])
async def test_a_message_without_an_end_is_held_up_to_a_limit(
    ordered: int, association: RTCSctpTransport
) -> None:
    began = time.process_time()
    endless = (piece(n, ordered | (FIRST if n == 1 else 0), bytes(1000)) for n in range(1, 5000))
    assert await sent_until_closed(association, endless) <= 263
    assert time.process_time() - began < 1


async def test_small_pieces_count_as_well(association: RTCSctpTransport) -> None:
    began = time.process_time()
    endless = (piece(n, FIRST if n == 1 else 0, b"x") for n in range(1, 99_999))
    assert await sent_until_closed(association, endless) <= 1025
    assert time.process_time() - began < 2


async def test_packets_behind_a_gap_are_few(association: RTCSctpTransport) -> None:
    whole = FIRST | LAST | UNORDERED
    endless = (piece(n, whole, b"x") for n in range(2, 99_999))
    assert await sent_until_closed(association, endless) <= 1025


async def test_streams_and_channels_are_few(association: RTCSctpTransport) -> None:
    opening = struct.pack("!BBHLHH", 3, 0, 0, 0, 0, 0)
    endless = (piece(n, FIRST | LAST, opening, n, 50) for n in range(1, 9999))
    assert await sent_until_closed(association, endless) <= 65


async def test_a_whole_message_that_is_too_long_ends_it(association: RTCSctpTransport) -> None:
    said = heard(association)
    size = LONGEST_MESSAGE // 16 + 1
    pieces = (
        piece(n, (n == 1) * FIRST | (n == 16) * LAST, b"x" * size)
        for n in range(1, 17)
    )  # fmt: skip
    assert await sent_until_closed(association, pieces) == 16
    assert said == []


async def test_gaps_over_what_was_never_sent_take_no_time(association: RTCSctpTransport) -> None:
    sack = SackChunk()
    sack.cumulative_tsn = association._last_sacked_tsn
    sack.gaps = [(1, 65535)] * 340
    began = time.process_time()
    await sent_until_closed(association, iter([bytes(sack)]))
    assert time.process_time() - began < 0.1


@pytest.mark.parametrize(
    "chunk",
    [
        struct.pack("!BBHHH", 4, 0, 8, 1, 0),  # a heartbeat whose parameter has length 0: endless
        struct.pack("!BBHHH", 130, 0, 8, 13, 3),
        struct.pack("!BBHL", 0, 3, 8, 1),  # data without its head
        struct.pack("!BBHLLHH", 3, 0, 16, 1, 1, 9, 9),  # gaps that are not there
        struct.pack("!BBHLB", 192, 0, 9, 1, 0) + bytes(3),
        piece(1, FIRST | LAST, b"\xff\xfe"),  # no UTF-8
        piece(1, FIRST | LAST, bytes([3, 0, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0]) + b"\xff" * 9, 2, 50),
        struct.pack("!BBH", 4, 0, 4) * 300,  # each wants an answer
    ],
)
async def test_a_packet_that_makes_no_sense_is_dropped(
    chunk: bytes, association: RTCSctpTransport
) -> None:
    heard(association)
    wire: Any = association.transport
    await asyncio.wait_for(association._handle_data(packet(association, chunk)), 1)
    assert len(wire.sent) <= 1
    assert association.state != "closed"


def say_much(browser: Browser, size: int, ends: bool) -> None:
    """Send a message, or the beginning of one that never ends."""
    association = browser.connection.sctp
    assert association is not None
    association._remote_max_message_size = 0  # what the answer says is for those who heed it
    send = association._send_chunk

    async def send_without_end(chunk: sctp.Chunk) -> None:
        if isinstance(chunk, DataChunk):
            chunk.flags &= ~LAST
        await send(chunk)

    if not ends:
        vars(association)["_send_chunk"] = send_without_end
    browser.control.send("x" * size)


@pytest.mark.parametrize("processes", [0, 1])
@pytest.mark.parametrize(("size", "ends"), [(100_000, True), (2**21, True), (2**21, False)])
async def test_a_message_too_long_ends_its_own_session_and_leaves_the_others_alone(
    size: int, ends: bool, processes: int, serve: Serve
) -> None:
    async with serve(media_processes=processes) as served:
        neighbour, kept = await come(served)
        offender, lost = await come(served)
        await neighbour.level()
        await offender.level()
        calm = await gap(neighbour, 1)
        say_much(offender, size, ends)
        watching = asyncio.create_task(gap(neighbour, 2))
        await eventually(lambda: served.sessions == 1)
        assert await watching < 0.5 + 3 * calm
        assert (await served.http.get(f"/api/sessions/{lost['id']}")).status_code == 404
        assert (await served.http.get(f"/api/sessions/{kept['id']}")).status_code == 200
        neighbour.say(type="ping", seq=1)
        assert (await neighbour.hear("pong"))["seq"] == 1
        assert media(served).losses == 0
        for each in (neighbour, offender):
            await each.close()


async def test_the_answer_says_how_long_a_message_may_be(serve: Serve) -> None:
    async with serve() as served:
        browser, made = await come(served)
        assert f"a=max-message-size:{LONGEST_MESSAGE}" in made["sdp"]
        with pytest.raises(ValueError, match="only supports messages up to"):
            browser.control.send("x" * (LONGEST_MESSAGE + 1))
        await browser.close()
