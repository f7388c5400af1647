"""Connecting: which addresses are listened on, and whose datagrams pass."""

import logging
from typing import Any

import aioice.ice
import aioice.stun

from streams.aiortc_patches.settings import settings

logger = logging.getLogger(__name__)


def host_addresses(use_ipv4: bool, use_ipv6: bool) -> list[str]:
    """Give the addresses that ICE listens on: aioice would open ports on every one (A12)."""
    allowed = settings().ice_addresses
    if allowed is None:
        every: list[str] = _all_addresses(use_ipv4, use_ipv6)
        return every
    return [a for a in allowed if (use_ipv6 if ":" in a else use_ipv4)]


_all_addresses = aioice.ice.get_host_addresses


_LOOPBACK = frozenset(("127.0.0.1", "::1"))


class _NoNames:
    """Knows no name."""

    async def resolve(self, hostname: str) -> None:
        """Say that nobody has it."""


async def find_names(subscriber: object) -> Any:
    """Give what resolves the .local names that browsers put in place of their addresses.

    Where only this machine is listened on nobody else's address is needed: aioice would open a
    multicast socket on every interface, and where nobody answers there the offer waits a second.
    A browser's own checks tell its address anyway.
    """
    allowed = settings().ice_addresses
    if allowed is not None and _LOOPBACK.issuperset(allowed):
        return _NoNames()
    return await _find_names(subscriber)


_find_names = aioice.ice.get_or_create_mdns_protocol


def receive_datagram(self: aioice.ice.StunProtocol, data: bytes, addr: tuple[Any, ...]) -> None:
    """Take a datagram in place of aioice's method.

    aioice checks no source: before the handshake one foreign datagram breaks a session (A14), and
    an empty one closes it at any time (A15). Data passes only from an address that sent an
    authenticated binding request or answered ours. Malformed STUN is dropped (A16).
    """
    if not data:
        return
    source = (addr[0], addr[1])
    known: set[tuple[str, int]] = self.__dict__.setdefault("authenticated", set())
    try:
        message = aioice.stun.parse_message(data)
    except ValueError:
        if source in known and _is_peer_data(data):
            self.receiver.data_received(data, self.local_candidate.component)
        return
    except Exception as error:  # noqa: BLE001 - struct.error and others, by hostile attributes
        logger.debug("malformed STUN: %s", error)
        return
    if message.message_class == aioice.stun.Class.REQUEST:
        if message.check_message_integrity(self.receiver.local_password.encode()):
            known.add(source)
        self.receiver.request_received(message, source, self)
    elif message.transaction_id in self.transactions:
        known.add(source)
        self.transactions[message.transaction_id].response_received(message, source)


def _is_peer_data(data: bytes) -> bool:
    """DTLS, SRTP and SRTCP begin with 20 .. 63 and 128 .. 191 (RFC 7983)."""
    return 20 <= data[0] <= 63 or 128 <= data[0] <= 191
