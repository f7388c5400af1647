"""A session's picture and sound to a streaming server, by a child (stream_child.py says why)."""

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import av

from streams.errors import SinkLost
from streams.sinks.stream_child import HEAD, PICTURE, SOUND, Start
from streams.soundtrack import Heard

_ROOT = Path(__file__).parents[2]
_COMMAND = [sys.executable, "-m", "streams.sinks.stream_child"]
_EARLY = 15.0  # seconds of pictures; a server that took more has nothing against the key


class LiveStream:
    """Sends pictures from its making on. Raises SinkLost, whose text never holds the URL."""

    def __init__(self, start: Start) -> None:
        self.bytes = 0
        self._live, self._error, self._told, self._heard = False, "", "", b""
        self._seconds = 0.0  # of the newest picture
        self._deadline, self._is_rtmp = start["deadline"], start["srt"] is None
        self._child = subprocess.Popen(  # nosec B603 - our own module, no shell
            _COMMAND,
            cwd=_ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # FFmpeg's lines may hold the URL
            start_new_session=True,  # Ctrl-C ends it by way of us
        )
        try:
            self._tell(json.dumps(start).encode() + b"\n")  # not by argv, which anybody may read
            self._listen(None)
            if not self._live:
                raise self._lost()
        except BaseException:
            self.close()
            raise

    def write(self, picture: av.VideoFrame, seconds: float) -> None:
        """Send a picture. Blocks for the deadline at most: the child ends then."""
        self._seconds = seconds
        self._put(PICTURE, picture.to_ndarray().tobytes(), seconds)

    def hear(self, packet: Heard) -> None:
        """Send a packet of Opus, which the child makes AAC of. Blocks like `write`."""
        self._put(SOUND, packet.data, packet.seconds)

    def close(self) -> None:
        """Let it send what it has and end."""
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        with contextlib.suppress(OSError):
            self._child.stdin.close()
        try:
            self._child.wait(self._deadline)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()
        self._listen(0)
        self._child.stdout.close()

    def _put(self, kind: bytes, data: bytes, seconds: float) -> None:
        self._tell(HEAD.pack(kind, seconds, len(data)) + data)
        self._listen(0)

    def _tell(self, data: bytes) -> None:
        assert self._child.stdin is not None
        try:
            self._child.stdin.write(data)
            self._child.stdin.flush()
        except OSError as error:
            raise self._lost() from error

    def _listen(self, milliseconds: int | None) -> None:
        """Take in what it said; wait for the first of it so long, None: until there is some."""
        assert self._child.stdout is not None
        out = self._child.stdout.fileno()
        poll = select.poll()
        poll.register(out, select.POLLIN)
        while poll.poll(milliseconds):
            data = os.read(out, 4096)
            if not data:
                return
            *lines, self._heard = (self._heard + data).split(b"\n")
            for line in lines:
                self._take(json.loads(line))
            milliseconds = 0 if lines else milliseconds

    def _take(self, message: dict[str, object]) -> None:
        match message:
            case {"live": True}:
                self._live = True
            case {"bytes": int(count)}:
                self.bytes = count
            case {"error": str(text)}:
                self._error = text
            case {"lost": str(text)}:
                self._told = text

    def _lost(self) -> SinkLost:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._child.wait(1)
        self._listen(0)
        if self._child.returncode == -signal.SIGALRM:
            return SinkLost(f"the server did not answer within {self._deadline:g} s")
        if self._told:
            return SinkLost(self._told)
        doing = "sending to the server failed" if self._live else "the server cannot be reached"
        early = self._is_rtmp and self._live and self._seconds < _EARLY
        asked = "; is the stream key right?" if early else ""
        return SinkLost(f"{doing}: {self._error or 'no reason was given'}{asked}")
