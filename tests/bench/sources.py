"""How a stream of ours arrives back at a source of ours, by a foreign server. Prints JSON.

    python -m tests.bench.sources [rtmp|srt|rtsp|film] [--seconds 20]

rtmp: our output → nginx → our source. srt: our output → srt-live-transmit → our source. Pictures of
256x256 at 30 a second carry their number as bars, sound has a click each 0.8 s. The age of a
picture is from its hand-over to the output until the source gives it decoded; `dropped`: by the
output, which was behind. rtsp: GStreamer serves a film, so there is no age. film: a server whose
engine only inverts plays a film of ten seconds over and over; a viewer watches, and it is recorded.
Offset: how much later than its picture a click is due (film: came, or stands in the file), in ms.
"""

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx

from streams.aiortc_patches import TransportSettings, install
from streams.errors import SourceError
from streams.output import Output
from streams.sinks.live_stream import LiveStream
from streams.sinks.stream_child import DEADLINE, SrtStart, Start
from streams.sound import Sound
from streams.sources.place import Place
from tests.bench.outputs import FPS, SIZE, marked, number_of
from tests.e2e.serving import TOKEN, serving
from tests.server.marks import MarkedPlayer
from tests.server.players import live
from tests.streams.clicks import EVERY, Voice, film, offsets_in
from tests.streams.foreign import rtmp_server, rtsp_server, srt_relay
from tests.streams.test_live_stream import free_port
from tests.streams.test_source_sound import Heard


class Sender:
    """Feeds an output with numbered pictures and clicks until it is closed."""

    def __init__(self, url: str, srt_port: int | None = None) -> None:
        srt = None
        if srt_port is not None:
            srt = SrtStart(host="127.0.0.1", port=srt_port, streamid="", passphrase="")
        start = Start(url=url, srt=srt, width=SIZE, height=SIZE, kbps=2500, deadline=DEADLINE)
        self.sent: dict[int, float] = {}
        self.output = Output("bench", lambda: LiveStream(start), SIZE, SIZE, room=8)
        self._stop, self._voice = threading.Event(), Voice()
        self._threads = [threading.Thread(target=each) for each in (self._show, self._speak)]
        self._began = time.monotonic()
        for each in self._threads:
            each.start()

    def close(self) -> None:
        self._stop.set()
        for each in self._threads:
            each.join()
        self.output.close()

    def _show(self) -> None:
        for number in range(4096):
            at = self._began + number / FPS
            if self._stop.wait(max(0.0, at - time.monotonic())):
                return
            shown = marked(number)
            self.sent[number] = time.monotonic()
            source = replace(shown.source, arrived_ns=round(at * 1e9))  # as the sound's: no jitter
            self.output.put(replace(shown, source=source))

    def _speak(self) -> None:
        for number in range(1_000_000):
            at = self._began + number / 50
            if self._stop.wait(max(0.0, at - time.monotonic())):
                return
            self.output.hear(Sound(number * 960, at, self._voice.packet(number)))


def opened(heard: Heard, place: Place, seconds: float = 25) -> None:
    """Open it as soon as something comes from there."""
    end = time.monotonic() + seconds
    while True:
        try:
            heard.switch.change(place)
            return
        except SourceError:
            if time.monotonic() > end:
                raise
            time.sleep(0.2)


@contextmanager
def circle(kind: str, folder: Path) -> Iterator[tuple[Sender, Place]]:
    """Send to a foreign server; give the sender, and where it comes back."""
    port, other = free_port(), free_port()
    between = rtmp_server(folder, port) if kind == "rtmp" else srt_relay(port, other)
    with between as url:
        sender = Sender(url, None if kind == "rtmp" else port)
        try:
            yield sender, Place("url", url)
        finally:
            sender.close()


def around(kind: str, seconds: float, folder: Path) -> dict[str, Any]:
    """Measure a circle."""
    heard = Heard()
    with circle(kind, folder) as (sender, place):
        try:
            opened(heard, place)
            time.sleep(seconds)
        finally:
            heard.switch.close()
    shown = [(number_of(f.picture.to_ndarray()[:SIZE].tobytes()), f.arrived_ns / 1e9)
             for f in heard.frames]  # fmt: skip
    first, last = shown[0][0], shown[-1][0]
    ages = sorted((at - sender.sent[number]) * 1000 for number, at in shown)
    times = dict(reversed(shown))
    clicks, offsets = heard.clicks(), []
    for mark in range(2, int(last / FPS / EVERY) + 1):
        flash = times.get(round(mark * EVERY * FPS))
        if flash is not None and clicks:
            offsets.append(1000 * min((click - flash for click in clicks), key=abs))
    return {
        "kind": kind, "sent": last - first + 1, "received": len(times),
        "dropped": sender.output.figures().dropped, "age_p50_ms": round(statistics.median(ages)),
        "age_p95_ms": round(ages[len(ages) * 95 // 100]),
        **_sound(heard, offsets),
    }  # fmt: skip


def from_rtsp(seconds: float, folder: Path) -> dict[str, Any]:
    """Pull a film from GStreamer."""
    film(folder / "marks.mp4", seconds + 20, keys=25)
    heard = Heard()
    with rtsp_server(folder / "marks.mp4", free_port()) as url:
        try:
            opened(heard, Place("url", url))
            time.sleep(seconds)
        finally:
            heard.switch.close()
    times = [float(frame.picture.time or 0) for frame in heard.frames]
    offsets = [1000 * each for each in heard.offsets()]
    sent = round((times[-1] - times[0]) * 25) + 1
    return {"kind": "rtsp", "sent": sent, "received": len(times), **_sound(heard, offsets)}


async def from_film(seconds: float, folder: Path) -> dict[str, Any]:
    """Let a server play a film; compare what a viewer gets, and what is recorded."""
    install(TransportSettings())
    film(folder / "marks.mp4", 10, 22_050)
    options = ("--recordings", str(folder), "--source-folder", str(folder))
    with serving(folder, *options, module="tests.reliability.light_server") as server:
        headers = {"Authorization": f"Bearer {TOKEN}"}
        async with httpx.AsyncClient(base_url=server.url, headers=headers) as http:
            wanted = {"kind": "file", "at": "marks.mp4"}
            made = (await http.post("/api/sources", json=wanted)).json()
            path, player = f"/api/sessions/{made['id']}", MarkedPlayer()
            await live(http, made["id"])
            await player.watch(http, made["id"], made["viewer_token"])
            output = await http.post(f"{path}/outputs", json={"kind": "recording"})
            await asyncio.sleep(seconds)
            recording = (await http.delete(output.headers["location"])).json()
            watched = await player.offsets(1)
            await player.close()
    recorded = [each for _, each in offsets_in(folder / recording["target"], inverted=True)]
    return {"kind": "film", "seconds": seconds} | {
        name: {
            "marks": len(found), "start_ms": round(1000 * statistics.median(found[:5]), 1),
            "end_ms": round(1000 * statistics.median(found[-5:]), 1),
            "all_ms": round(1000 * statistics.median(found), 1),
        }
        for name, found in (("webrtc", watched), ("recording", recorded))
    }  # fmt: skip


def _sound(heard: Heard, offsets: list[float]) -> dict[str, float | int]:
    steps = [b.pts - a.pts for a, b in zip(heard.sounds, heard.sounds[1:], strict=False)]
    return {
        "packets": len(heard.sounds), "sound_gaps": sum(step > 960 for step in steps),
        "marks": len(offsets), "offset_p50_ms": round(statistics.median(offsets), 1),
    }  # fmt: skip


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", nargs="?", choices=("rtmp", "srt", "rtsp", "film"), default="rtmp")
    parser.add_argument("--seconds", type=float, default=20)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as made:
        if given.kind == "film":
            figures = asyncio.run(from_film(given.seconds, Path(made)))
        elif given.kind == "rtsp":
            figures = from_rtsp(given.seconds, Path(made))
        else:
            figures = around(given.kind, given.seconds, Path(made))
    sys.stdout.write(json.dumps(figures) + "\n")
