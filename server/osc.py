"""OSC in: style changes by UDP from programs on this machine; off by default.

/restyle/strength 0.5 changes every session, /restyle/SESSION/strength one. Whatever is no such
message is ignored and counted: UDP has nobody to send an error to.
"""

import asyncio
import logging
import socket
import struct
from collections import Counter

from pydantic import ValidationError

from server.errors import ApiError
from server.schema.style import StylePatch
from server.session import Session
from server.sessions import Sessions
from server.settings import Settings
from server.style_limits import check_limits

logger = logging.getLogger(__name__)
Argument = float | int | str | bool
_BUNDLE = b"#bundle\0"
_DEEPEST = 4  # bundles within bundles
_EVERYONE = ""
_SIZES = {"i": ">i", "f": ">f", "d": ">d", "h": ">q"}
_CONSTANTS = {"T": True, "F": False}


class OscError(Exception):
    """Bytes that are no OSC packet, or a message that says nothing of the style."""


def bind(port: int) -> socket.socket | None:
    """Open the UDP port, on loopback alone; None for port 0. Raises OSError with a way out."""
    if port == 0:
        return None
    opened = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        opened.bind(("127.0.0.1", port))
    except OSError as error:
        opened.close()
        raise OSError(f"UDP port {port}: {error.strerror}; choose another with --osc") from error
    opened.setblocking(False)
    return opened


class Osc(asyncio.DatagramProtocol):
    """Takes packets; the newest value of each style field wins, and nothing queues up."""

    def __init__(self, sessions: Sessions, counts: Counter[str], settings: Settings) -> None:
        self._sessions, self._counts, self._settings = sessions, counts, settings
        self._wanted: dict[str, dict[str, Argument]] = {}  # by session
        self._applying: asyncio.Task[None] | None = None

    def datagram_received(self, data: bytes, addr: object) -> None:
        """Merge what a packet asks for into what is wanted."""
        try:
            for address, arguments in parse_packet(data):
                session, patch = style_change(address, arguments)
                check_limits(StylePatch.model_validate(patch), self._settings)
                self._wanted.setdefault(session, {}).update(patch)
                self._counts["used"] += 1
        except (OscError, ApiError) as error:
            self._counts["ignored"] += 1
            logger.debug("an OSC packet was ignored: %s", error)
        if self._wanted and self._applying is None:
            self._applying = asyncio.get_running_loop().create_task(self._apply())

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop with the server."""
        if self._applying is not None:
            self._applying.cancel()

    async def _apply(self) -> None:
        while self._wanted:
            wanted, self._wanted = self._wanted, {}
            changes = [
                session.change_from_elsewhere(StylePatch.model_validate(patch))
                for name, patch in wanted.items()
                for session in self._named(name)
            ]
            await asyncio.gather(*changes, return_exceptions=True)  # a session may end meanwhile
        self._applying = None

    def _named(self, name: str) -> list[Session]:
        if name == _EVERYONE:
            return list(self._sessions)
        try:
            return [self._sessions.get(name)]
        except ApiError:  # it is over
            return []


def style_change(address: str, arguments: list[Argument]) -> tuple[str, dict[str, Argument]]:
    """Read a message as (session or "" for all, one checked style value). Raises OscError."""
    match address.split("/"):
        case ["", "restyle", field]:
            session = _EVERYONE
        case ["", "restyle", session, field]:
            pass
        case _:
            raise OscError(f"address {address!r}: /restyle/FIELD or /restyle/SESSION/FIELD")
    if field not in StylePatch.model_fields:
        raise OscError(
            f"{field!r} is no style value; known are {', '.join(StylePatch.model_fields)}"
        )
    if len(arguments) != 1:
        raise OscError(f"{address}: {len(arguments)} arguments, one is expected")
    value = arguments[0]
    # control surfaces send floats, whatever is on the knob
    for reading in (value, *_as_whole(value)):
        try:
            StylePatch.model_validate({field: reading})
        except ValidationError:
            continue
        return session, {field: reading}
    raise OscError(f"{address}: {value!r} is out of its range")


def _as_whole(value: Argument) -> list[Argument]:
    if isinstance(value, float) and value.is_integer():
        whole = int(value)
        return [whole, bool(whole)] if whole in (0, 1) else [whole]
    return [bool(value)] if value in (0, 1) else []


def parse_packet(data: bytes, depth: int = 0) -> list[tuple[str, list[Argument]]]:
    """Read a packet as (address, arguments) of its messages; time tags count as now.

    Raises OscError. Source: Open Sound Control 1.0 specification, opensoundcontrol.org.
    """
    if not data.startswith(_BUNDLE):
        return [_parse_message(data)]
    if depth == _DEEPEST:
        raise OscError(f"more than {_DEEPEST} bundles within each other")
    messages, at = [], len(_BUNDLE) + 8
    while at < len(data):
        size = int(_unpack(">i", data, at))
        at += 4
        if size <= 0 or at + size > len(data):
            raise OscError(f"a bundle's element of {size} bytes in {len(data)}")
        messages += parse_packet(data[at : at + size], depth + 1)
        at += size
    return messages


def _parse_message(data: bytes) -> tuple[str, list[Argument]]:
    address, at = _text(data, 0)
    types, at = _text(data, at)
    if not types.startswith(","):
        raise OscError("no type tags")
    arguments: list[Argument] = []
    for tag in types[1:]:
        if tag in _SIZES:
            arguments.append(_unpack(_SIZES[tag], data, at))
            at += struct.calcsize(_SIZES[tag])
        elif tag in _CONSTANTS:
            arguments.append(_CONSTANTS[tag])
        elif tag == "s":
            text, at = _text(data, at)
            arguments.append(text)
        else:
            raise OscError(f"type {tag!r}; known are i, f, d, h, s, T, F")
    return address, arguments


def _unpack(form: str, data: bytes, at: int) -> float | int:
    try:
        value: float | int = struct.unpack_from(form, data, at)[0]
    except struct.error as error:
        raise OscError("it ends too early") from error
    return value


def _text(data: bytes, at: int) -> tuple[str, int]:
    """Read a string and where it ends: it is filled up with zeros to four bytes, at least one."""
    end = data.find(b"\0", at)
    if end < 0:
        raise OscError("a text without an end")
    try:
        return data[at:end].decode(), end + 4 - (end - at) % 4
    except UnicodeDecodeError as error:
        raise OscError("a text that is no UTF-8") from error
