"""Messages of the data channel `control`."""

from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from server.schema.message import Message
from server.schema.outputs import OutputState
from server.schema.sessions import MatteChange, MatteInForce, PictureSize, Stats
from server.schema.style import Style, StylePatch
from streams.protocol import EngineForSession


class StyleMessage(Message):
    """Change the look."""

    type: Literal["style"]
    seq: int = Field(ge=0)
    style: StylePatch


class SizeMessage(PictureSize):
    """Change the picture's size."""

    type: Literal["size"]
    seq: int = Field(ge=0)


class MatteMessage(MatteChange):
    """Send a matte beside the picture from now on, or none."""

    type: Literal["matte"]
    seq: int = Field(ge=0)


class Ping(Message):
    """Measure the way there and back."""

    type: Literal["ping"]
    seq: int = Field(ge=0)


class Applied(Message):
    """Acknowledge a style message: in force from this input frame on."""

    type: Literal["applied"] = "applied"
    seq: int
    frame: int
    style: Style
    hint: str | None = None


class Resized(Message):
    """Acknowledge a size message, once the size is warm: in force from this input frame on."""

    type: Literal["resized"] = "resized"
    seq: int
    frame: int
    width: int
    height: int


class MatteApplied(MatteInForce):
    """Acknowledge a matte message."""

    type: Literal["matte"] = "matte"
    seq: int


class Changed(Message):
    """Somebody else changed the style: over HTTP or OSC."""

    type: Literal["changed"] = "changed"
    frame: int  # in force from this input frame on
    style: Style
    hint: str | None = None


class Pong(Message):
    """Answer a ping."""

    type: Literal["pong"] = "pong"
    seq: int


class StatsMessage(Message):
    """Live figures, twice a second."""

    type: Literal["stats"] = "stats"
    state: Literal["connecting", "live", "stalled", "closed"]
    engine: EngineForSession
    stats: Stats
    outputs: list[OutputState]


class ErrorMessage(Message):
    """A control message that was refused; everything stays as it was."""

    type: Literal["error"] = "error"
    seq: int | None
    code: str
    detail: str
    id: str  # in the log, as a refusal's request_id is


class Ended(Message):
    """The server closes this session, and why."""

    type: Literal["ended"] = "ended"
    reason: Literal["draining", "lifetime", "idle", "deleted", "engine_failed"]


ClientMessage = Annotated[
    StyleMessage | SizeMessage | MatteMessage | Ping, Field(discriminator="type")
]
ServerMessage = Annotated[
    Applied | Changed | Resized | MatteApplied | Pong | StatsMessage | ErrorMessage | Ended,
    Field(discriminator="type"),
]
parse_client_message = TypeAdapter[ClientMessage](ClientMessage).validate_json
