"""Outputs of a session."""

from typing import Annotated, Literal

from pydantic import Field, SecretStr

from server.schema.message import Message

OutputKind = Literal["recording", "rtmp", "srt", "virtual_camera"]


class OutputProblem(Message):
    """What went wrong with an output last."""

    id: str  # the log has the same one
    detail: str


class OutputState(Message):
    """One more place that a session's pictures go to."""

    id: str
    kind: OutputKind
    target: str  # a file's name, a server without path and key, or a device
    # retrying: it is away and will be tried again; failed: it ended by itself, `problem` says why
    state: Literal["starting", "live", "retrying", "failed", "ended"]
    frames: int  # written
    dropped: int  # pictures that came while it was behind or away
    seconds: float  # of pictures written, by the camera's clock
    bytes: int
    losses: int  # how often it went away, or was not there when it was tried
    problem: OutputProblem | None


class _NewOutput(Message):
    # what is there instead of the room when the session has a matte, as no output is transparent;
    # camera: the room after all, untouched, of the frame that was restyled
    backdrop: str = Field(default="#000000", pattern="^(camera|#[0-9a-fA-F]{6})$")


class NewRecording(_NewOutput):
    """Record, in the folder that the server was given."""

    kind: Literal["recording"]


class NewRtmp(_NewOutput):
    """Stream to a server that the setting `stream_targets` allows."""

    kind: Literal["rtmp"]
    url: SecretStr  # rtmp:// or rtmps://; may hold the key already. Not shown again anywhere
    key: SecretStr | None = None  # joined to it with a slash


class NewSrt(_NewOutput):
    """Call a server of SRT that the setting `stream_targets` allows; it gets MPEG-TS."""

    kind: Literal["srt"]
    url: SecretStr  # srt://host:port
    streamid: SecretStr | None = None
    passphrase: SecretStr | None = None  # 10 .. 79 characters; without it nothing is encrypted


class NewVirtualCamera(_NewOutput):
    """Show the picture as a camera of the server's machine."""

    kind: Literal["virtual_camera"]


# POST /api/sessions/{id}/outputs
NewOutput = Annotated[
    NewRecording | NewRtmp | NewSrt | NewVirtualCamera, Field(discriminator="kind")
]


class OutputList(Message):
    """GET /api/sessions/{id}/outputs."""

    outputs: list[OutputState]
    # each kind, and why it cannot be started here; null: it can
    kinds: dict[OutputKind, str | None]
