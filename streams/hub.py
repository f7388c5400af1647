"""One session's restyled pictures to several sinks, none of which can hold up another."""

import logging
from collections.abc import Callable

from streams.frame import Restyled

logger = logging.getLogger(__name__)
Sink = Callable[[Restyled], None]  # from any thread; must not wait: `Outlet.put` is one


class Hub:
    """Hands each picture to every sink. A sink keeps the newest for itself, in its own time."""

    def __init__(self) -> None:
        self._sinks: tuple[Sink, ...] = ()  # replaced whole: `put` runs in other threads

    def add(self, sink: Sink) -> None:
        """Let a sink have the pictures from now on."""
        self._sinks = (*self._sinks, sink)

    def remove(self, sink: Sink) -> None:
        """Leave a sink out from now on; one that is not there is no error."""
        self._sinks = tuple(s for s in self._sinks if s != sink)

    def put(self, restyled: Restyled) -> None:
        """Hand a picture on; from any thread, never waits."""
        for sink in self._sinks:
            try:
                sink(restyled)
            except Exception:
                logger.exception("a sink failed and gets no more pictures")
                self.remove(sink)
