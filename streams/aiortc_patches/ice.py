"""Connecting: which addresses are listened on or knocked at, and whose datagrams pass."""

import ipaddress
import logging
import socket
from typing import Any

import aioice
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


class _NamesHere:
    """Takes every name for this machine's."""

    async def resolve(self, hostname: str) -> str | None:
        """Give the address of this machine that others see, None without a network."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
            try:
                asking.connect(("192.0.2.1", 9))  # sends nothing: says which way one would go
            except OSError:
                return None
            return str(asking.getsockname()[0])


async def find_names(subscriber: object) -> Any:
    """Give what resolves the .local names that browsers put in place of their addresses.

    Where only this machine is listened on nobody else's address is needed: aioice would open a
    multicast socket on every interface, and where nobody answers there the offer waits a second.
    Who names itself is here then. Chromium's own checks tell its address. Firefox has no address
    of loopback and sends from another to none, so it has to be knocked at; behind a proxy it is
    elsewhere.
    """
    if not _only_here():
        return await _find_names(subscriber)
    return _NoNames() if settings().behind_proxy else _NamesHere()


_find_names = aioice.ice.get_or_create_mdns_protocol


_METADATA = frozenset(  # of clouds, beside the link-local ones
    map(ipaddress.ip_address, ("100.100.100.200", "168.63.129.16", "fd00:ec2::254"))
)
_NOBODY = ipaddress.ip_network("0.0.0.0/8")  # Linux takes 0.0.0.0 for this machine


def may_be_checked(address: str) -> bool:
    """Say whether connectivity checks may go to an address that the other side names.

    An offer must not make this server knock at doors that only it reaches. Who is really there
    loses nothing: its own checks tell its address. Private addresses pass, most peers have one.
    """
    try:
        given = ipaddress.ip_address(address)
    except ValueError:
        return True  # aioice refuses it, and says so
    inner = given.ipv4_mapped if isinstance(given, ipaddress.IPv6Address) else given
    found = inner or given
    if found.is_loopback:  # a peer here, unless a proxy here passes on what comes from elsewhere
        return _only_here() and not settings().behind_proxy
    if found.is_link_local or found.is_multicast or found.is_unspecified or found in _METADATA:
        return False
    return found.version == 6 or not (found in _NOBODY or found.is_reserved)


def _only_here() -> bool:
    """Say whether this machine alone is listened on."""
    allowed = settings().ice_addresses
    return allowed is not None and _LOOPBACK.issuperset(allowed)


def add_remote_candidate(
    self: aioice.ice.Connection, candidate: aioice.Candidate, address: str
) -> None:
    """Add a candidate at its address, which of a .local name is what it was resolved to."""
    if may_be_checked(address):
        _add_remote_candidate(self, candidate, address)
    else:
        logger.debug("a candidate at %s was dropped", address)


_add_remote_candidate = aioice.ice.Connection._add_remote_candidate


def end_remote_candidates(self: aioice.ice.Connection) -> None:
    """Take the end of an offer's candidates, if there was one that can be used.

    Firefox gives names alone, and says that these are all. Where nobody resolves them aioice would
    then give up, and answer without an address. The browser's own checks tell its address.
    """
    if self._remote_candidates:
        _end_remote_candidates(self)
    else:
        self._remote_candidates_end = False


_end_remote_candidates = aioice.ice.Connection._end_remote_candidates


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
