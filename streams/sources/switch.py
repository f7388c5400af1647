"""The pictures and sound of one place on the server after another, as if of one source."""

import threading
from collections.abc import Callable
from dataclasses import replace
from functools import partial

from streams.errors import SourceError
from streams.frame import Frame
from streams.sound import PACKET, Sound
from streams.sources.place import Place
from streams.sources.server import ServerSource


class SourceSwitch:
    """Holds the source in use; numbers of frames and times of sound go on when it changes."""

    def __init__(
        self,
        put: Callable[[Frame], None],
        hear: Callable[[Sound], None],
        ended: Callable[[], None],
    ) -> None:
        """All are called from threads, `ended` when the source in use ends."""
        self._put, self._hear, self._ended = put, hear, ended
        self._lock = threading.Lock()
        self._source: ServerSource | None = None
        self._turn = object()  # whose pictures count
        self._number = 0
        self._heard = 0  # until when there is sound, in units of its clock
        self._closed = False

    @property
    def source(self) -> ServerSource:
        """The one in use; there is one after the first `change`."""
        assert self._source is not None
        return self._source

    def change(self, place: Place, loop: bool = True, begin: float = 0.0) -> None:
        """Take the pictures of another place from now on. Blocks, up to ten seconds.

        The one before goes on until then. Raises SourceError; it goes on then, too.
        """
        turn = object()
        new = ServerSource(
            place,
            partial(self._take, turn),
            partial(self._listen, turn),
            partial(self._end, turn),
            loop,
            begin,
        )
        with self._lock:
            if self._closed:
                new.close()
                raise SourceError("the session has ended")
            old, self._source, self._turn = self._source, new, turn
            new.start()
        if old is not None:
            old.close()

    def close(self) -> None:
        """End the source in use. Blocks, up to seconds."""
        with self._lock:
            self._closed = True
        if self._source is not None:
            self._source.close()

    def _take(self, turn: object, frame: Frame) -> None:
        with self._lock:
            if turn is self._turn:
                self._put(replace(frame, number=self._number))
                self._number += 1

    def _listen(self, turn: object, sound: Sound) -> None:
        with self._lock:
            # after a cut it may lie over what was given before, and times must rise
            if turn is self._turn and sound.pts >= self._heard:
                self._hear(sound)
                self._heard = sound.pts + PACKET

    def _end(self, turn: object) -> None:
        if turn is self._turn:
            self._ended()
