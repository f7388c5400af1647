"""The pictures of one place on the server, at their own pace. Which places: place.py."""

import itertools
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from fractions import Fraction

import av

from streams.convert import plain
from streams.errors import SourceError
from streams.frame import Frame
from streams.sources.place import Place, open_place, shown

_STILL_FPS = 10  # a still image is shown again so often
_CLOCK = Fraction(1, 90000)
_HAIR = 0.001  # seconds; times of pictures are rounded


class ServerSource:
    """Gives the pictures of a place from a thread. A file begins again, unless `loop` is off."""

    def __init__(
        self,
        place: Place,
        put: Callable[[Frame], None],
        ended: Callable[[], None],
        loop: bool = True,
        begin: float = 0.0,
    ) -> None:
        """Open it; Blocks. `begin`: seconds into a file. Raises SourceError.

        `put` and `ended` are called from the thread, `ended` once when nothing more comes.
        """
        self.place, self.loop = place, loop
        self.position: float | None = None  # seconds into a file
        self.problem: str | None = None  # why it ended, if not by `close`
        self._put, self._ended = put, ended
        self._container = open_place(place)
        stream, length = self._container.streams.video[0], self._container.duration
        self._zero = float((stream.start_time or 0) * (stream.time_base or 0))
        # of a file, in seconds; None: not known, or no file
        self.duration = length / av.time_base if place.kind == "file" and length else None
        self._sought: deque[float] = deque(maxlen=1)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="source", daemon=True)
        self._begin = begin
        try:
            self._check(begin)
        except SourceError:
            self._container.close()
            raise

    def start(self) -> None:
        """Begin to give pictures."""
        self._thread.start()

    def seek(self, seconds: float) -> None:
        """Go on from there in a file. Raises SourceError where there is no such moment."""
        self._check(seconds)
        self._sought.append(seconds)

    def close(self) -> None:
        """End, and wait for it: up to seconds while a stream says nothing. Blocks."""
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join()
        self._container.close()

    def _check(self, seconds: float) -> None:
        if seconds and self.place.kind != "file":
            raise SourceError(f"{shown(self.place)}: only in a file one can go to a moment")
        if self.duration is not None and seconds >= self.duration:
            raise SourceError(
                f"{shown(self.place)}: {seconds:g} s given; it has {self.duration:.1f} s"
            )

    def _run(self) -> None:
        try:
            for number, picture in enumerate(self._paced()):
                pts = time.monotonic_ns() * 9 // 100_000  # in units of the clock
                self._put(Frame(number, pts, _CLOCK, time.monotonic_ns(), plain(picture)))
        except (av.FFmpegError, OSError) as error:
            self.problem = f"{shown(self.place)}: it broke off ({error.strerror})"
        finally:
            if not self._stop.is_set():
                self._ended()

    def _paced(self) -> Iterator[av.VideoFrame]:
        # what is live comes at its own pace, and late pictures are shown at once
        live = self.place.kind in ("url", "device")
        pictures = self._live() if live else self._still() if self.place.kind == "image" else None
        began = 0.0
        for at, jumped, picture in pictures or self._film():
            if jumped:
                began = time.monotonic() - at
            wait = began + at - time.monotonic()
            if not live and wait > 0 and self._stop.wait(wait):
                return
            if self._stop.is_set():
                return
            yield picture

    def _live(self) -> Iterator[tuple[float, bool, av.VideoFrame]]:
        return ((0.0, False, picture) for picture in self._container.decode(video=0))

    def _still(self) -> Iterator[tuple[float, bool, av.VideoFrame]]:
        picture = next(self._container.decode(video=0))
        return ((count / _STILL_FPS, not count, picture) for count in itertools.count())

    def _film(self) -> Iterator[tuple[float, bool, av.VideoFrame]]:
        """Give pictures with their time, and whether that is not the one after the last."""
        begin = self._begin
        for round_ in itertools.count():
            jumped = True
            if round_ or begin:
                self._container.seek(int((begin + self._zero) * av.time_base))
            for picture in self._container.decode(video=0):
                at = float(picture.time or 0.0) - self._zero
                if at < begin - _HAIR:
                    continue  # a key frame lies before
                self.position = at
                yield at, jumped, picture
                jumped = False
                if self._sought:
                    break
            if self._sought:
                begin = self._sought.popleft()
            elif not self.loop or (jumped and not begin):
                return
            else:
                begin = 0.0
