"""What strangers send to a session's port: nothing of it reaches DTLS, nothing of it raises."""

import random
from types import SimpleNamespace
from typing import Any

import aioice.stun as stun
import pytest

from streams.aiortc_patches.ice import receive_datagram

PASSWORD = "a-password-of-this-test"
PEER, STRANGER = ("10.0.0.2", 4000), ("10.0.0.3", 4000)
DTLS_HELLO = bytes.fromhex("16feff0000000000000000") + bytes(40)
DTLS_ALERT = bytes.fromhex("15fefd000000000000000000020228")


def port() -> tuple[Any, list[bytes], list[Any]]:
    """Make what aioice has for a socket: what passed on as data, what as requests."""
    data: list[bytes] = []
    requests: list[Any] = []
    receiver = SimpleNamespace(
        local_password=PASSWORD,
        data_received=lambda received, component: data.append(received),
        request_received=lambda message, source, protocol: requests.append(message),
    )
    candidate = SimpleNamespace(component=1)
    return (
        SimpleNamespace(receiver=receiver, local_candidate=candidate, transactions={}),
        data,
        requests,
    )


def binding(password: str) -> bytes:
    request = stun.Message(stun.Method.BINDING, stun.Class.REQUEST)
    request.attributes["USERNAME"] = "a:b"
    request.add_message_integrity(password.encode())
    return bytes(request)


@pytest.mark.parametrize("datagram", [DTLS_HELLO, DTLS_ALERT, b"\x80" + bytes(20), b"\x00", b""])
def test_data_of_a_stranger_is_dropped(datagram: bytes) -> None:
    socket, data, _ = port()
    receive_datagram(socket, binding(PASSWORD), PEER)
    receive_datagram(socket, datagram, STRANGER)
    assert data == []


def test_data_passes_from_an_address_that_knows_the_password() -> None:
    socket, data, requests = port()
    receive_datagram(socket, DTLS_HELLO, PEER)
    receive_datagram(socket, binding(PASSWORD), PEER)
    receive_datagram(socket, DTLS_HELLO, PEER)
    receive_datagram(socket, b"", PEER)
    assert (data, len(requests)) == ([DTLS_HELLO], 1)


def test_a_request_with_another_password_opens_nothing() -> None:
    socket, data, _ = port()
    receive_datagram(socket, binding("another-password"), STRANGER)
    receive_datagram(socket, DTLS_HELLO, STRANGER)
    assert data == []


def test_an_answer_to_a_question_that_was_never_asked_opens_nothing() -> None:
    socket, data, _ = port()
    answer = stun.Message(stun.Method.BINDING, stun.Class.RESPONSE)
    receive_datagram(socket, bytes(answer), STRANGER)
    receive_datagram(socket, DTLS_HELLO, STRANGER)
    assert data == []


def test_no_datagram_raises_and_none_passes() -> None:
    from tests.fuzz.mutation import mutate

    chance = random.Random(0)
    samples = [binding("another-password"), DTLS_HELLO, DTLS_ALERT, bytes(20)]
    socket, data, _ = port()
    for _ in range(20_000):
        receive_datagram(socket, mutate(chance.choice(samples), samples, chance), STRANGER)
    assert data == []
