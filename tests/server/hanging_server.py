"""`restyle serve` at its worst: connections never close, and each picture takes 0.2 s to decode."""

import asyncio
import sys
import time

from aiortc import RTCPeerConnection
from aiortc.codecs.h264 import H264Decoder
from aiortc.codecs.vpx import Vp8Decoder
from aiortc.jitterbuffer import JitterFrame
from av.frame import Frame

from server import __main__, serve
from tests.streams.fakes import build


async def hang(connection: RTCPeerConnection) -> None:
    await asyncio.sleep(3600)


def slow(decoder: type[Vp8Decoder] | type[H264Decoder]) -> None:
    decode = decoder.decode

    def late(self: Vp8Decoder | H264Decoder, encoded_frame: JitterFrame) -> list[Frame]:
        time.sleep(0.2)
        return decode(self, encoded_frame)  # type: ignore[arg-type]  # its own kind

    decoder.decode = late  # type: ignore[method-assign]


if __name__ == "__main__":
    RTCPeerConnection.close = hang  # type: ignore[method-assign]
    slow(Vp8Decoder)
    slow(H264Decoder)
    vars(serve)["build"] = build
    sys.exit(__main__.main(sys.argv[1:]))
