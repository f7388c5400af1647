"""What can go wrong with frames on the move.

StreamError
├── SourceError     an input that cannot be opened or holds no video
├── SinkError       an output that cannot be written
│   └── SinkLost    one that is away for now; another try may help
├── MalformedOffer  an SDP offer that does not parse
├── OfferRefused    an SDP offer that parses but asks for what is not served
├── EngineAway      the engine's process is dead, hangs or restarts
└── MediaAway       the media process of a session is dead, hangs or starts
"""


class StreamError(Exception):
    """Anything streams refuse, with a sentence fit for a user."""


class SourceError(StreamError):
    """An input that cannot be opened or holds no video."""


class SinkError(StreamError):
    """An output that cannot be written."""


class SinkLost(SinkError):
    """An output that is away for now; another try may help."""


class MalformedOffer(StreamError):
    """An SDP offer that does not parse."""


class OfferRefused(StreamError):
    """An SDP offer that parses but asks for what is not served."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code, self.detail = code, detail


class EngineAway(StreamError):
    """The engine's process is dead, hangs or restarts."""


class MediaAway(StreamError):
    """The media process of a session is dead, hangs or starts."""
