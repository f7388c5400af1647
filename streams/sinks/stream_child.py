"""The child of a live stream: pictures in by stdin, H.264 out to a server. Run by live_stream.py.

It is a process of its own since PyAV 18 holds the interpreter lock while it connects: a listener
that says nothing would freeze the whole server. So that one cannot freeze here for good either, the
deadline is the kernel's: SIGALRM ends the process whoever holds the lock.

In: a line of JSON (`Start`), then for each picture its seconds (a double) and its I420 bytes.
Out: lines of JSON, {"live": true} once, {"bytes": n} now and then, {"error": text} before it ends.
"""

import json
import signal
import struct
import sys
from typing import BinaryIO, TypedDict

import av
import numpy as np
from av.container import OutputContainer

from streams.sinks.live_video import LiveVideo
from streams.sinks.srt import SrtCaller

DEADLINE = 5.0  # seconds
KEY_EVERY = 2.0  # seconds; what Twitch and YouTube ask for
TIME = struct.Struct("<d")
_TELL = 1.0  # seconds of video between reports


class Start(TypedDict):
    """What to send, and where: RTMP to a URL, or SRT to a host and port."""

    url: str
    srt: "SrtStart | None"
    width: int
    height: int
    kbps: int
    deadline: float  # seconds that connecting, or sending one picture, may take


class SrtStart(TypedDict):
    """Where SRT goes."""

    host: str
    port: int
    streamid: str  # empty: none
    passphrase: str  # empty: not encrypted


def main() -> int:
    """Send until stdin ends; give 1 after an error was told."""
    start: Start = json.loads(sys.stdin.buffer.readline())
    signal.setitimer(signal.ITIMER_REAL, start["deadline"])
    try:
        _send(start, sys.stdin.buffer)
    except (av.FFmpegError, OSError) as error:
        # never str(error): it quotes the URL, and that holds the stream key
        _say(error=error.strerror or type(error).__name__)
        return 1
    return 0


def _send(start: Start, pictures: BinaryIO) -> None:
    width, height, rate = start["width"], start["height"], f"{start['kbps']}k"
    srt = start["srt"]
    caller = SrtCaller(**srt, seconds=start["deadline"]) if srt else None
    container = av.open(start["url"], "w", format="flv") if caller is None else _mpegts(caller)
    options = {"b": rate, "maxrate": rate, "bufsize": rate, "profile": "main", "sc_threshold": "0"}
    video = LiveVideo(container, width, height, KEY_EVERY, options)  # connects
    _say(live=True)
    told = 0.0
    while True:
        signal.setitimer(signal.ITIMER_REAL, 0)  # a camera may pause
        head = pictures.read(TIME.size)
        planes = pictures.read(width * height * 3 // 2)
        signal.setitimer(signal.ITIMER_REAL, start["deadline"])
        if not planes:
            video.close()
            if caller is not None:
                caller.close()
            _say(bytes=video.bytes)
            return
        (seconds,) = TIME.unpack(head)
        image = np.frombuffer(planes, np.uint8).reshape(height * 3 // 2, width)
        video.write(av.VideoFrame.from_ndarray(image, format="yuv420p"), seconds)
        if seconds - told >= _TELL:
            told = seconds
            _say(bytes=video.bytes)


def _mpegts(caller: SrtCaller) -> OutputContainer:
    # each packet at once, and tables as often as key frames, where a receiver begins
    options = {"flush_packets": "1", "pat_period": str(KEY_EVERY), "sdt_period": str(KEY_EVERY)}
    return av.open(caller, "w", format="mpegts", options=options)


def _say(**message: object) -> None:
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
