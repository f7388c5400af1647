"""Offers of WHIP and WHEP that are unusual, and allowed or refused with a reason."""

import re
from collections.abc import AsyncIterator
from typing import Self

import pytest
from aiortc import RTCCertificate
from aiortc.rtcdtlstransport import generate_certificate
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key

from tests.server.conftest import Served
from tests.server.players import Player, Publisher, codecs, session_of

_NEEDED = "it must be recvonly or sendrecv"


@pytest.fixture
async def stream(served: Served) -> AsyncIterator[dict[str, str]]:
    """Give the state of a session that somebody publishes."""
    publisher = Publisher()
    yield await session_of(served.http, await publisher.publish(served.http))
    await publisher.close()


class Unusual(Player):
    """Speaks VP8 and H.264; its offer is changed before it is sent."""

    def __init__(self, *changes: tuple[str, str]) -> None:
        super().__init__()
        self._changes = changes

    async def offer(self) -> str:
        transceiver = self.connection.addTransceiver("video", direction="recvonly")
        transceiver.setCodecPreferences([*codecs("VP8"), *codecs("H264")])
        await self.connection.setLocalDescription(await self.connection.createOffer())
        text = self.connection.localDescription.sdp
        for pattern, replacement in self._changes:
            text = re.sub(pattern, replacement, text)
        return text


class UnusualPublisher(Publisher):
    """Sends H.264; its offer is changed before it is sent."""

    def __init__(self, *changes: tuple[str, str]) -> None:
        super().__init__()
        self._changes = changes

    async def offer(self) -> str:
        self.connection.addTransceiver(self.camera, direction="sendonly")  # takes any answer
        await self.connection.setLocalDescription(await self.connection.createOffer())
        text = self.connection.localDescription.sdp
        for pattern, replacement in (("SAVPF 97 98 ", "SAVPF "), *self._changes):
            text = re.sub(pattern, replacement, text)
        return text


@pytest.mark.parametrize(
    ("change", "answered"),
    [
        (("SAVPF 97 98 99 100 101 102", "SAVPF 101 102 97 98 99 100"), "101 102 97 98 99 100"),
        (("SAVPF 97 98 99 100 101 102", "SAVPF 98 97 101"), "97 98 101"),
        (("SAVPF 97 98 99", "SAVPF 99"), "99 100 101 102"),
        (("a=recvonly\r\n", ""), "97 98 99 100 101 102"),
    ],
)
async def test_a_player_gets_what_it_prefers(
    change: tuple[str, str], answered: str, served: Served, stream: dict[str, str]
) -> None:
    player = Unusual(change)
    seen = await player.watch(served.http, stream["id"], stream["viewer_token"])
    assert seen.status_code == 201, seen.text
    assert f"SAVPF {answered}\r\n" in seen.text
    assert "a=sendonly" in seen.text
    assert all(abs(level - 195) < 8 for level in await player.levels(5))
    await player.close()


@pytest.mark.parametrize(
    ("change", "status", "code", "words"),
    [
        ([("VP8/", "AV1/"), ("H264/", "VP9/")], 406, "unsupported_codec",
         ["'video/AV1', 'video/VP9'", "one of video/VP8, video/H264 is needed"]),
        ([("VP8/", "VP9/"), ("packetization-mode=1", "packetization-mode=0")],
         406, "unsupported_codec",
         ["'video/H264 packetization-mode=0 profile-level-id=42001f'", "'video/VP9'",
          "one of video/VP8, video/H264 is needed, of H.264 packetization-mode=1 with "
          "profile-level-id=42001f or 42e01f"]),
        ([("a=recvonly", "a=inactive")], 422, "wrong_direction", ["is inactive; " + _NEEDED]),
        ([("a=recvonly", "a=sendonly")], 422, "wrong_direction", ["is sendonly; " + _NEEDED]),
        ([("a=recvonly\r\n", ""), ("t=0 0", "t=0 0\r\na=inactive")], 422, "wrong_direction",
         ["is inactive; " + _NEEDED]),
    ],
)  # fmt: skip
async def test_a_player_is_told_what_would_do(
    change: list[tuple[str, str]], status: int, code: str, words: list[str],
    served: Served, stream: dict[str, str],
) -> None:  # fmt: skip
    player = Unusual(*change)
    refused = await player.watch(served.http, stream["id"], stream["viewer_token"])
    assert (refused.status_code, refused.json()["code"]) == (status, code), refused.text
    for each in words:
        assert each in refused.json()["detail"]
    state = (await served.http.get(f"/api/sessions/{stream['id']}")).json()
    assert state["viewers"] == 0
    await player.close()


@pytest.mark.parametrize(
    "changes",
    [
        [("profile-level-id=42.01f", "profile-level-id=640028")],  # what x264 and FFmpeg make
        [("packetization-mode=1;", "")],
        [("packetization-mode=1;", "packetization-mode=1; ")],
        [("a=sendonly\r\n", "")],
    ],
)
async def test_h264_comes_in_as_publishers_describe_it(
    changes: list[tuple[str, str]], served: Served
) -> None:
    publisher, player = UnusualPublisher(*changes), Player()
    made = await publisher.publish(served.http)
    assert "a=recvonly" in made.text
    assert " VP8/" not in made.text
    state = await session_of(served.http, made)
    await player.watch(served.http, state["id"], state["viewer_token"])
    assert all(abs(level - 195) < 8 for level in await player.levels(5))
    await publisher.close()
    await player.close()


class _Rsa(RTCCertificate):
    """A certificate as GStreamer makes it."""

    @classmethod
    def generateCertificate(cls) -> Self:
        key = generate_private_key(65537, 2048)
        return cls(key, generate_certificate(key))  # type: ignore[arg-type]  # it takes either


async def test_a_peer_whose_key_is_rsa_is_understood(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aiortc.rtcpeerconnection.RTCCertificate", _Rsa)
    publisher = Publisher()
    monkeypatch.undo()
    made = await publisher.publish(served.http)
    assert (await session_of(served.http, made))["state"] == "live"
    await publisher.close()
