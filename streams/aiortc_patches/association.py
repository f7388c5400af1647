"""Data channels: how much one side may make this process hold, and how long a packet may take.

aiortc keeps a message of any length, in any number of pieces, and believes the sizes that packets
tell: with a parameter of length zero it never comes back, and the numbers that gap blocks span it
walks through one by one, 24 million of them in a packet. All sessions share its loop. Here whatever
goes beyond what control messages need ends its own connection.
"""

import logging
from typing import Any

from aiortc import rtcsctptransport
from aiortc.rtcsctptransport import RTCSctpTransport, SackChunk

logger = logging.getLogger(__name__)

# Bytes; the answer names it (a=max-message-size). A style with 500 characters in both prompts, each
# written as an escaped surrogate pair, and all other values in full takes less than 13,000.
LONGEST_MESSAGE = 16 * 1024
# What waits to become whole, or for a message before it that was lost. Seconds of control messages
# fit; adding a piece looks at the others, so their number counts as well as their bytes.
_MOST_BYTES, _MOST_PIECES = 256 * 1024, 1024
_MOST_STREAMS = 64  # the page opens one
_MOST_CHUNKS = 64  # of one packet; each may want an answer
_MOST_SPANNED = 4096  # sent packets that the gaps of one acknowledgement may name
_PARAMETER_HEAD = 4  # bytes


class TooMuch(Exception):
    """The other side sends more than control messages need."""


_handle_data = RTCSctpTransport._handle_data
_deliver = RTCSctpTransport._receive
_take_sack = RTCSctpTransport._receive_sack_chunk
_flush = RTCSctpTransport._data_channel_flush
_parse_packet = rtcsctptransport.parse_packet


async def take_packet(self: RTCSctpTransport, data: bytes) -> None:
    """Take a packet in place of aiortc's method.

    Raises ConnectionError, which closes the connection as its other side's end does, when that
    holds or sends too much. A packet that makes no sense is dropped.
    """
    try:
        await _handle_data(self, data)
        _check_held(self)
    except ConnectionError:
        raise
    except TooMuch as error:
        logger.warning("a connection is closed: %s", error)
        await self.stop()
        raise ConnectionError from error
    except Exception as error:  # noqa: BLE001 - struct.error, assertions and others, by hostile chunks
        logger.warning("a packet of a data channel was dropped: %s", type(error).__name__)


async def deliver(self: RTCSctpTransport, stream_id: int, protocol: int, data: bytes) -> None:
    """Hand a whole message on, unless it is too long: aiortc heeds no size, not even its own."""
    if len(data) > LONGEST_MESSAGE:
        raise TooMuch(f"a message of {len(data)} bytes")
    await _deliver(self, stream_id, protocol, data)


async def take_sack(self: RTCSctpTransport, chunk: SackChunk) -> None:
    """Take an acknowledgement, unless its gaps span more than can be on the way."""
    spanned = sum(max(0, last - first + 1) for first, last in chunk.gaps)
    if spanned > _MOST_SPANNED:
        raise TooMuch(f"gaps over {spanned} packets")
    await _take_sack(self, chunk)


async def flush(self: RTCSctpTransport) -> None:
    """Send what waits: in a task that nobody holds, so a lost connection must end here."""
    try:
        await _flush(self)
    except ConnectionError as error:
        logger.debug("a data channel lost its connection: %s", error)


def parse_packet(data: bytes) -> tuple[int, int, int, list[Any]]:
    """Parse a packet. Raises ValueError, upon which aiortc drops it."""
    parsed = _parse_packet(data)
    if len(parsed[3]) > _MOST_CHUNKS:
        raise ValueError(f"{len(parsed[3])} chunks in a packet")
    return parsed


def decode_params(body: bytes) -> list[tuple[int, bytes]]:
    """Read the parameters of a chunk. Raises ValueError for one shorter than its own head."""
    found = []
    at = 0
    while at <= len(body) - _PARAMETER_HEAD:
        kind = int.from_bytes(body[at : at + 2], "big")
        length = int.from_bytes(body[at + 2 : at + 4], "big")
        if length < _PARAMETER_HEAD:
            raise ValueError(f"a parameter of {length} bytes")
        found.append((kind, body[at + _PARAMETER_HEAD : at + length]))
        at += length + -length % 4
    return found


def _check_held(association: RTCSctpTransport) -> None:
    """Raise TooMuch when it holds too much; after each packet, so it is over by one at most."""
    streams = association._inbound_streams.values()
    pieces = [piece for stream in streams for piece in stream.reassembly]
    held = sum(len(piece.user_data) for piece in pieces)
    if held > _MOST_BYTES or len(pieces) > _MOST_PIECES:
        raise TooMuch(f"{held} bytes in {len(pieces)} pieces of messages")
    if len(streams) > _MOST_STREAMS or len(association._data_channels) > _MOST_STREAMS:
        raise TooMuch(f"{len(streams)} streams")
    if len(association._sack_misordered) > _MOST_PIECES:
        raise TooMuch(f"{len(association._sack_misordered)} packets behind a gap")
