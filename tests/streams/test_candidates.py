"""Where connectivity checks go: no offer makes the server knock at doors of its own side."""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator

import pytest
from aioice import Candidate, Connection

from streams.aiortc_patches import TransportSettings, ice, install
from streams.aiortc_patches.ice import may_be_checked
from tests.streams.waiting import PATIENCE

EVERYWHERE = TransportSettings(ice_addresses=None)


@pytest.fixture(autouse=True)
def as_it_was() -> Iterator[None]:
    install(TransportSettings())
    yield
    install(TransportSettings())


@pytest.fixture
async def connection() -> AsyncIterator[Connection]:
    made = Connection(ice_controlling=True)
    made.remote_username, made.remote_password = "user", "p" * 22
    yield made
    await made.close()


def candidate(host: str, port: int = 9) -> Candidate:
    return Candidate("1", 1, "udp", 1, host, port, "host")


@pytest.mark.parametrize(
    "address",
    [
        "169.254.169.254", "169.254.1.2", "fe80::1", "fe80::1%eth0",  # link-local
        "224.0.0.251", "239.1.2.3", "ff02::fb",  # multicast
        "0.0.0.0", "0.1.2.3", "::", "255.255.255.255", "240.0.0.1",  # nobody's, everybody's
        "100.100.100.200", "168.63.129.16", "fd00:ec2::254",  # metadata of clouds
        "::ffff:169.254.169.254", "::ffff:0.0.0.0", "::ffff:224.0.0.1",
    ],
)  # fmt: skip
@pytest.mark.parametrize("listening", [TransportSettings(), EVERYWHERE])
def test_no_check_goes_where_no_peer_is(address: str, listening: TransportSettings) -> None:
    install(listening)
    assert not may_be_checked(address)


@pytest.mark.parametrize(
    "address", ["10.0.0.2", "172.16.3.4", "192.168.1.2", "fd12::1", "8.8.8.8", "2001:4860::8888"]
)
def test_private_and_public_addresses_are_checked(address: str) -> None:
    install(EVERYWHERE)
    assert may_be_checked(address)


@pytest.mark.parametrize("address", ["127.0.0.1", "127.8.9.1", "::1", "::ffff:127.0.0.1"])
def test_this_machine_is_checked_only_where_nobody_else_is_listened_to(address: str) -> None:
    assert may_be_checked(address)
    for elsewhere in (None, ("192.168.1.2",), ("127.0.0.1", "192.168.1.2")):
        install(TransportSettings(ice_addresses=elsewhere))
        assert not may_be_checked(address)
    install(TransportSettings(behind_proxy=True))
    assert not may_be_checked(address)


async def test_what_is_dropped_is_no_candidate_and_what_is_not_is_one(
    connection: Connection,
) -> None:
    for host in ("169.254.169.254", "nonsense", "127.0.0.1", "192.168.1.2"):
        await connection.add_remote_candidate(candidate(host))
    assert [each.host for each in connection.remote_candidates] == ["127.0.0.1", "192.168.1.2"]


@pytest.mark.parametrize(
    ("address", "kept"), [("169.254.169.254", 0), ("127.0.0.1", 0), ("192.168.1.2", 1)]
)
async def test_a_name_is_looked_at_again_once_it_is_resolved(
    address: str, kept: int, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Names:
        async def resolve(self, name: str) -> str:
            return address

    async def find(subscriber: object) -> Names:
        return Names()

    monkeypatch.setattr(ice, "_find_names", find)
    install(EVERYWHERE)
    await connection.add_remote_candidate(candidate("someone.local"))
    assert len(connection.remote_candidates) == kept


async def test_an_offer_of_names_that_nobody_knows_is_answered_with_an_address(
    connection: Connection,
) -> None:
    install(TransportSettings(behind_proxy=True))
    await connection.add_remote_candidate(candidate("someone.local"))
    await connection.add_remote_candidate(None)  # all are given, as Firefox says at once
    await connection.gather_candidates()
    assert [each.host for each in connection.local_candidates] == ["127.0.0.1"]
    await connection.add_remote_candidate(candidate("127.0.0.1"))  # so it goes on
    await connection.add_remote_candidate(None)


async def test_who_names_itself_where_only_this_machine_is_listened_on_is_knocked_at(
    connection: Connection,
) -> None:
    address = elsewhere()
    if address is None:
        pytest.skip("this machine has no address but loopback")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as browser:
        browser.bind((address, 0))  # as Firefox does
        browser.setblocking(False)
        await connection.gather_candidates()
        port = browser.getsockname()[1]
        await connection.add_remote_candidate(candidate("someone.local", port))
        connecting = asyncio.ensure_future(connection.connect())
        coming = asyncio.get_running_loop().sock_recvfrom(browser, 2000)
        _, (sender, _) = await asyncio.wait_for(coming, PATIENCE)
        connecting.cancel()
        await asyncio.gather(connecting, return_exceptions=True)
    assert sender == "127.0.0.1"


def elsewhere() -> str | None:
    """Give an address of this machine that is not loopback, if it has one."""
    found = (a for a in ice._all_addresses(True, False) if not a.startswith("127."))
    return next(found, None)


@pytest.mark.parametrize("is_heard", [True, False])
async def test_a_port_of_this_machine_hears_nothing_from_a_server_that_others_reach(
    is_heard: bool, connection: Connection
) -> None:
    address = "127.0.0.1" if is_heard else elsewhere()
    if address is None:
        pytest.skip("this machine has no address but loopback")
    install(TransportSettings(ice_addresses=(address,)))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as door:
        door.bind(("127.0.0.1", 0))
        door.setblocking(False)
        await connection.gather_candidates()
        await connection.add_remote_candidate(candidate(*door.getsockname()))
        await connection.add_remote_candidate(None)
        connecting = asyncio.ensure_future(connection.connect())
        coming = asyncio.get_running_loop().sock_recv(door, 2000)
        try:
            heard = bool(await asyncio.wait_for(coming, PATIENCE if is_heard else 0.5))
        except TimeoutError:
            heard = False
        connecting.cancel()
        await asyncio.gather(connecting, return_exceptions=True)
    assert heard == is_heard
