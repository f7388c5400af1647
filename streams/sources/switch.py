"""The pictures of one place on the server after another, as if all were of one source."""

import threading
from collections.abc import Callable
from dataclasses import replace
from functools import partial

from streams.errors import SourceError
from streams.frame import Frame
from streams.sources.place import Place
from streams.sources.server import ServerSource


class SourceSwitch:
    """Holds the source in use; numbers of frames go on when it changes."""

    def __init__(self, put: Callable[[Frame], None], ended: Callable[[], None]) -> None:
        """`put` and `ended` are called from threads, `ended` when the source in use ends."""
        self._put, self._ended = put, ended
        self._lock = threading.Lock()
        self._source: ServerSource | None = None
        self._turn = object()  # whose pictures count
        self._number = 0
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
        new = ServerSource(place, partial(self._take, turn), partial(self._end, turn), loop, begin)
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

    def _end(self, turn: object) -> None:
        if turn is self._turn:
            self._ended()
