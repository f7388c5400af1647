"""What serves here, tokens, refusals."""

from pydantic import Field

from pipeline.params import Noise
from server.schema.message import Message
from server.schema.sessions import IceServer
from server.schema.style import Style


class Preset(Message):
    """A style that the loaded model knows by name."""

    name: str
    prompt: str
    examples: list[str]
    thumbnail: str | None = None  # data URL of a small picture made by the model


class Info(Message):
    """GET /api/info: what serves here."""

    version: str
    model: str
    device: str
    backend: str
    width: int
    height: int
    size_step: int | None  # sides of a live size are multiples of it; null: there is one size only
    slots: int
    sessions: int
    presets: list[Preset]
    reference: bool  # the model reads reference pictures: POST /api/reference
    defaults: Style
    noises: list[Noise]  # that a style may ask for
    ice_servers: list[IceServer]
    loop_lag_p99_ms: float  # of the server's event loop, last minute


class Code(Message):
    """POST /api/token: the one-time code of the printed link."""

    code: str = Field(max_length=128)


class Token(Message):
    """The token that a code was good for."""

    token: str


class Problem(Message):
    """application/problem+json (RFC 9457) of every refusal."""

    type: str = "about:blank"
    title: str
    status: int
    code: str  # stable, for programs
    detail: str  # what was given, what is allowed
    request_id: str
