"""Media processes that say what they should not."""

import socket
import struct
from fractions import Fraction

import av
import numpy as np
import pytest

from streams.aiortc_patches import TransportSettings
from streams.errors import MediaAway
from streams.frame import Frame, Restyled
from streams.media_child import MediaSettings
from streams.media_link import pack
from streams.media_process import MediaProcesses
from streams.peer import Callbacks
from streams.stats import SessionStats
from tests.streams.waiting import eventually

NONSENSE = {
    "deep": b"[" * 100_000,
    "no object": b"[1]",
    "no room": b'{"do": "frame"}',
    "a size": b'{"do": "alive", "lag_ms": "soon"}',
    "a list": b'{"do": ["frame"], "room": {}}',
}


def babble(settings: MediaSettings, end: socket.socket) -> None:
    """Say that it lives, then what `set_up` gives."""
    end.sendall(pack("alive", lag_ms=0))
    text = settings.set_up()
    assert isinstance(text, bytes)
    end.sendall(struct.pack("!II", len(text), 0) + text)
    end.recv(1)  # until it is killed


class Say:
    """A picklable function."""

    def __init__(self, what: bytes) -> None:
        self._what = what

    def __call__(self) -> bytes:
        return self._what


@pytest.mark.parametrize("kind", NONSENSE)
async def test_one_that_talks_nonsense_is_replaced(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streams.media_child.run", babble)
    media = MediaProcesses(1, MediaSettings(TransportSettings(), set_up=Say(NONSENSE[kind])))
    media.start()
    await eventually(lambda: media.losses >= 1)
    await media.close()


async def test_without_a_process_an_offer_is_refused_and_pictures_go_nowhere() -> None:
    media = MediaProcesses(1, MediaSettings(TransportSettings()))  # never started
    assert not media.ready
    room = media.room(Callbacks(print, print, print), SessionStats())
    with pytest.raises(MediaAway, match="try again"):
        await room.accept("v=0")
    picture = av.VideoFrame.from_ndarray(np.zeros((96, 64), np.uint8), format="yuv420p")
    room.show(Restyled(Frame(0, 0, Fraction(1, 90000), 0, picture), picture, {}))
    room.send("to nobody")
    assert not await room.is_watching("nobody")
    await room.leave("nobody")
    await room.close()
    await room.close()
    await media.close()
