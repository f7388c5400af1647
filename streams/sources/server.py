"""The pictures and the sound of one place on the server, at their own pace.

Which places: place.py. What is in them: media.py.
"""

import itertools
import logging
import random
import threading
import time
from collections import deque
from collections.abc import Callable
from fractions import Fraction
from typing import Literal

import av

from streams.convert import plain
from streams.errors import SourceError
from streams.frame import Frame
from streams.pacing import backoff
from streams.sound import Sound
from streams.sources.media import Media, Piece
from streams.sources.opus import OpusPackets
from streams.sources.place import Place, open_place, reason_of, shown
from streams.sources.timing import FilmTime, LiveTime

logger = logging.getLogger(__name__)

SourceStateName = Literal["live", "retrying", "ended"]
_STILL = 0.1  # seconds between two showings of a still image
_CLOCK = Fraction(1, 90000)
_HAIR = 0.001  # seconds; times of pictures are rounded
_EARLY = 0.5  # seconds that a film's sound may be given before it is due; media.py has less
_STEADY = 10.0  # seconds with pictures until past failures are forgotten


class ServerSource:
    """Gives the pictures and the sound of a place from a thread.

    A file begins again, unless `loop` is off. What is live and breaks off is opened again, after a
    second at first and at last every 30 s, for as long as nobody closes it.
    """

    def __init__(
        self,
        place: Place,
        put: Callable[[Frame], None],
        hear: Callable[[Sound], None],
        ended: Callable[[], None],
        loop: bool = True,
        begin: float = 0.0,
    ) -> None:
        """Open it; Blocks. `begin`: seconds into a file. Raises SourceError.

        `put`, `hear` and `ended` are called from the thread, `ended` once when nothing more comes.
        """
        self.place, self.loop = place, loop
        self.state: SourceStateName = "live"
        self.position: float | None = None  # seconds into a file
        self.problem: str | None = None  # what went wrong last, for people
        self.losses = 0  # how often it broke off, or was not there when it was tried
        self._put, self._hear, self._ended = put, hear, ended
        self._media: Media | None = open_place(place)
        self.has_sound = self._media.has_sound
        self.duration = self._media.duration if place.kind == "file" else None
        self._opus = OpusPackets()
        self._number = itertools.count()
        self._live_since: float | None = None
        self._sought: deque[float] = deque(maxlen=1)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="source", daemon=True)
        self._begin = begin
        self._image: av.VideoFrame | None = None
        try:
            self._check(begin)
            if place.kind == "image":
                self._image = _first_picture(place, self._media)
        except SourceError:
            self._media.close()
            raise

    def start(self) -> None:
        """Begin to give pictures."""
        self._thread.start()

    def seek(self, seconds: float) -> None:
        """Go on from there in a file. Raises SourceError where there is no such moment."""
        self._check(seconds)
        self._sought.append(seconds)

    def close(self) -> None:
        """End, and wait for it: seconds while a stream says nothing or is being opened. Blocks."""
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join()
        if self._media is not None:
            self._media.close()

    def _check(self, seconds: float) -> None:
        if seconds and self.place.kind != "file":
            raise SourceError(f"{shown(self.place)}: only in a file one can go to a moment")
        if self.duration is not None and seconds >= self.duration:
            raise SourceError(
                f"{shown(self.place)}: {seconds:g} s given; it has {self.duration:.1f} s"
            )

    def _run(self) -> None:
        failures = 0
        try:
            while not self._played_to_its_end() and self.place.is_live:
                steady = time.monotonic() - (self._live_since or time.monotonic()) > _STEADY
                failures = 1 if steady else failures + 1
                if self._stop.wait(backoff(failures, random.random())):
                    return
        finally:
            if not self._stop.is_set():
                self.state = "ended"
                self._ended()

    def _played_to_its_end(self) -> bool:
        """Give all that comes; False: it broke off, or was not there."""
        self._live_since = None
        try:
            if self._media is None:
                self._media = open_place(self.place)
            if self._play(self._media) or self._stop.is_set():
                return True
            self._fail("it stopped")
        except SourceError as error:
            self._fail(str(error).removeprefix(f"{shown(self.place)}: "))
        except (av.FFmpegError, OSError) as error:
            self._fail(f"it broke off: {reason_of(error)}")
        finally:
            if self._media is not None:
                self._media.close()
            self._media = None
        return False

    def _fail(self, reason: str) -> None:
        # not which: it may be a camera's name
        logger.warning("a source of kind %s was lost: %s", self.place.kind, reason)
        self.problem = f"{shown(self.place)}: {reason}"
        self.losses += 1
        self.state = "retrying"

    def _play(self, media: Media) -> bool:
        """Give all that comes; False: it was not meant to end."""
        if self.place.is_live and media.duration is None:
            self._live(media)
            return False
        if self.place.kind == "image":
            self._still()
        else:
            self._film(media)
        return True

    def _live(self, media: Media) -> None:
        timing = LiveTime()
        for piece in media.pieces():
            if self._stop.is_set():
                return
            now = time.monotonic()
            if isinstance(piece.frame, av.VideoFrame):
                self._show(piece.frame, timing.picture(piece.at, now))
            elif (due := timing.sound(piece.at, now)) is not None:
                self._speak(piece.frame, piece.at, due)

    def _still(self) -> None:
        assert self._image is not None
        began = time.monotonic()
        for count in itertools.count():
            if self._waited(began + count * _STILL):
                self._show(self._image, began + count * _STILL)
            else:
                return

    def _film(self, media: Media) -> None:
        timing, begin = FilmTime(), self._begin
        for round_ in itertools.count():
            if round_ or begin:
                media.seek(begin)
            end = begin
            for piece in media.pieces():
                if piece.at < begin - _HAIR:
                    continue  # a key frame lies before
                end = max(end, piece.at + piece.lasts)
                if not self._given(piece, timing):
                    return
                if self._sought:
                    break
            if self._sought:
                begin = self._sought.popleft()
                timing.begin()
            elif self.place.kind != "file" or not self.loop or end == 0:
                self._waited(timing.sound(end, time.monotonic()))
                return
            else:
                timing.again(end)
                begin = 0.0

    def _given(self, piece: Piece, timing: FilmTime) -> bool:
        """Give a piece of a film at its time; False: it was closed meanwhile."""
        now = time.monotonic()
        if isinstance(piece.frame, av.VideoFrame):
            due = timing.picture(piece.at, now)
            if not self._waited(due):
                return False
            self.position = piece.at
            self._show(piece.frame, due)
        else:
            due = timing.sound(piece.at, now)
            if not self._waited(due - _EARLY):
                return False
            self._speak(piece.frame, due, due)
        return True

    def _waited(self, until: float) -> bool:
        """Wait until then; False: it was closed meanwhile."""
        seconds = until - time.monotonic()
        return not (self._stop.wait(seconds) if seconds > 0 else self._stop.is_set())

    def _show(self, picture: av.VideoFrame, due: float) -> None:
        # its time is when it was due: one that is late is so by its age, as sound goes by
        pts = round(due / _CLOCK)
        self._put(Frame(next(self._number), pts, _CLOCK, round(due * 1e9), plain(picture)))
        if self._live_since is None:
            self._live_since, self.state = time.monotonic(), "live"

    def _speak(self, sound: av.AudioFrame, at: float, due: float) -> None:
        for packet in self._opus.encode(sound, at, due):
            self._hear(packet)


def _first_picture(place: Place, media: Media) -> av.VideoFrame:
    try:
        return media.first_picture()
    except SourceError as error:
        raise SourceError(f"{shown(place)}: {error}") from error
