"""The child of a live stream: pictures and sound in, H.264 and AAC out. Run by live_stream.py.

It is a process of its own since PyAV 18 holds the interpreter lock while it connects: a listener
that says nothing would freeze the whole server. So that one cannot freeze here for good either, the
deadline is the kernel's: SIGALRM ends the process whoever holds the lock.

In: a line of JSON (`Start`), then pictures (I420) and packets of Opus, each after a `HEAD`.
Out: lines of JSON, {"live": true} once, {"bytes": n} now and then, and before it ends by a failure
{"error": reason} or, where it knows more, {"lost": sentence}.
"""

import json
import resource
import signal
import struct
import sys
from typing import BinaryIO, TypedDict

import av
import numpy as np
from av.container import OutputContainer

from streams import signals
from streams.errors import SinkLost
from streams.sinks.live_sound import INTERLEAVE, AacEncoder
from streams.sinks.live_video import LiveVideo
from streams.sinks.rtmp import explained, open_rtmp
from streams.srt import SrtCaller

DEADLINE = 5.0  # seconds
KEY_EVERY = 2.0  # seconds; what Twitch and YouTube ask for
HEAD = struct.Struct("<cdI")  # PICTURE or SOUND, its seconds, bytes that follow
PICTURE, SOUND = b"p", b"s"
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
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # one would hold the stream key
    signals.leave_to_the_parent()  # it closes stdin
    start: Start = json.loads(sys.stdin.buffer.readline())
    signal.setitimer(signal.ITIMER_REAL, start["deadline"])
    try:
        _send(start, sys.stdin.buffer)
    except (av.FFmpegError, OSError) as error:
        # never str(error): it quotes the URL, and that holds the stream key
        _say(error=error.strerror or type(error).__name__)
        return 1
    except SinkLost as error:
        _say(lost=str(error))
        return 1
    return 0


def _send(start: Start, given: BinaryIO) -> None:
    width, height, rate = start["width"], start["height"], f"{start['kbps']}k"
    srt = start["srt"]
    caller = SrtCaller(**srt, seconds=start["deadline"]) if srt else None
    container = open_rtmp(start["url"]) if caller is None else _mpegts(caller)
    options = {"b": rate, "maxrate": rate, "bufsize": rate, "profile": "main", "sc_threshold": "0"}
    video = LiveVideo(container, width, height, KEY_EVERY, options)
    sound = AacEncoder(container)
    _connect(container, start)
    _say(live=True)
    told = 0.0
    while (item := _read(given, start["deadline"])) is not None:
        kind, seconds, data = item
        if kind == SOUND:
            sound.write(data, seconds)
            continue
        image = np.frombuffer(data, np.uint8).reshape(height * 3 // 2, width)
        video.write(av.VideoFrame.from_ndarray(image, format="yuv420p"), seconds)
        if seconds - told >= _TELL:
            told = seconds
            _say(bytes=video.bytes + sound.bytes)
    sound.close()
    video.close()
    container.close()
    if caller is not None:
        caller.close()
    _say(bytes=video.bytes + sound.bytes)


def _read(given: BinaryIO, deadline: float) -> tuple[bytes, float, bytes] | None:
    """Wait for the next picture or packet; from then on the deadline runs. None at the end."""
    signal.setitimer(signal.ITIMER_REAL, 0)  # a camera may pause
    head = given.read(HEAD.size)
    signal.setitimer(signal.ITIMER_REAL, deadline)
    if len(head) < HEAD.size:
        return None
    kind, seconds, size = HEAD.unpack(head)
    data = given.read(size)
    return (kind, seconds, data) if len(data) == size else None


def _connect(container: OutputContainer, start: Start) -> None:
    try:
        container.start_encoding()
    except (av.FFmpegError, OSError) as error:
        if start["srt"]:
            raise
        raise SinkLost(explained(start["url"], error)) from error


def _mpegts(caller: SrtCaller) -> OutputContainer:
    # each packet at once, and tables as often as key frames, where a receiver begins
    options = {"flush_packets": "1", "pat_period": str(KEY_EVERY), "sdt_period": str(KEY_EVERY)}
    return av.open(caller, "w", format="mpegts", options=options | INTERLEAVE)


def _say(**message: object) -> None:
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
