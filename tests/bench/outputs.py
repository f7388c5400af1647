"""How a stream arrives at FFmpeg's own program: pictures lost, and their age. Prints JSON.

    python -m tests.bench.outputs [rtmp|srt] [--seconds 20]
    python -m tests.bench.outputs offset [--seconds 300] [--styled]

Pictures of 256x256 at 30 a second carry their number as bars. The age of one is from its hand-over
to the output until FFmpeg has written it decoded to a pipe. Needs imageio-ffmpeg.
`offset` is what offset.py says: sound against picture, at the start and the end.
"""

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import threading
import time
from fractions import Fraction
from typing import Any

import av
import cv2
import numpy as np

from streams.frame import Frame, Restyled
from streams.output import Output
from streams.sinks.live_stream import LiveStream
from streams.sinks.stream_child import DEADLINE, SrtStart, Start
from tests.bench.offset import offset
from tests.streams.test_live_stream import free_port

SIZE, BITS, FPS = 256, 12, 30
# no `-fflags nobuffer`: it throws away what comes while the input is analysed
_LEAST = ["-flags", "low_delay", "-probesize", "32", "-analyzeduration", "0"]


def marked(number: int) -> Restyled:
    """Make a picture that moves, with its number as bars along the top."""
    image = np.full((SIZE, SIZE, 3), 90, np.uint8)
    image[SIZE // 8 :] = np.roll(np.arange(SIZE, dtype=np.uint8), number * 3)[None, :, None]
    for bit in range(BITS):
        left, right = bit * SIZE // BITS, (bit + 1) * SIZE // BITS
        image[: SIZE // 8, left:right] = 235 if number >> bit & 1 else 20
    planes = cv2.cvtColor(image, cv2.COLOR_RGB2YUV_I420)
    picture = av.VideoFrame.from_ndarray(planes, format="yuv420p")
    time_base = Fraction(1, 90_000)
    source = Frame(number, number * 3000, time_base, time.monotonic_ns(), picture)
    return Restyled(source, picture, {})


def number_of(grey: bytes) -> int:
    """Read the bars."""
    row = np.frombuffer(grey, np.uint8).reshape(SIZE, SIZE)[SIZE // 16]
    middles = [(2 * bit + 1) * SIZE // BITS // 2 for bit in range(BITS)]
    return sum(int(row[middle] > 128) << bit for bit, middle in enumerate(middles))


def receiver(kind: str, port: int) -> subprocess.Popen[bytes]:
    import imageio_ffmpeg  # here: what is above serves tests that do without

    url = f"rtmp://127.0.0.1:{port}/live/key"
    given = ["-listen", "1", "-i", url]
    if kind == "srt":
        given = ["-f", "mpegts", "-i", f"srt://127.0.0.1:{port}?mode=listener"]
    written = ["-fps_mode", "passthrough", "-f", "rawvideo", "-pix_fmt", "gray", "-"]
    return subprocess.Popen(
        [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "quiet", *_LEAST, *given, *written],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
    )


def note_numbers(process: subprocess.Popen[bytes], came: dict[int, float]) -> None:
    """Note until its end when each number came to a receiver."""
    assert process.stdout is not None
    with process.stdout as pipe:
        while len(grey := pipe.read(SIZE * SIZE)) == SIZE * SIZE:
            came.setdefault(number_of(grey), time.monotonic())


def measure(kind: str, seconds: float) -> dict[str, Any]:
    port = free_port()
    srt = SrtStart(host="127.0.0.1", port=port, streamid="", passphrase="")
    start = Start(
        url=f"rtmp://127.0.0.1:{port}/live/key", srt=srt if kind == "srt" else None,
        width=SIZE, height=SIZE, kbps=2500, deadline=DEADLINE,
    )  # fmt: skip
    came: dict[int, float] = {}
    process = receiver(kind, port)
    reading = threading.Thread(target=note_numbers, args=(process, came))
    reading.start()
    output = Output("bench", lambda: LiveStream(start), SIZE, SIZE, room=8)
    while output.figures().state != "live":
        time.sleep(0.05)
    sent: dict[int, float] = {}
    began = time.monotonic()
    for number in range(int(seconds * FPS)):
        time.sleep(max(0.0, began + number / FPS - time.monotonic()))
        shown = marked(number)
        sent[number] = time.monotonic()
        output.put(shown)
    output.close()
    process.wait(20)
    reading.join()
    ages = sorted((came[number] - sent[number]) * 1000 for number in sent if number in came)
    figures = output.figures()
    return {
        "kind": kind, "sent": len(sent), "written": figures.frames, "dropped": figures.dropped,
        "received": len(ages), "lost_percent": round(100 * (1 - len(ages) / len(sent)), 2),
        "age_p50_ms": round(statistics.median(ages)),
        "age_p95_ms": round(ages[len(ages) * 95 // 100]),
        "kbps": round(figures.bytes * 8 / 1000 / seconds),
    }  # fmt: skip


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", nargs="?", choices=("rtmp", "srt", "offset"), default="rtmp")
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--styled", action="store_true", help="of offset: through the model")
    given = parser.parse_args()
    if given.kind == "offset":
        figures = asyncio.run(offset(given.seconds, given.styled))
    else:
        figures = measure(given.kind, given.seconds)
    sys.stdout.write(json.dumps(figures) + "\n")
