"""Sources on the server's side."""

from typing import Literal

from pydantic import Field

from server.schema.message import Message, Name
from server.schema.style import StylePatch

SourceKind = Literal["file", "image", "url", "device"]


class Source(Message):
    """PUT /api/sessions/{id}/source: pictures that the server finds by itself."""

    kind: SourceKind
    at: str = Field(min_length=1, max_length=2000)  # path in the folder, address, or device
    loop: bool = True  # of a file: begin again at its end; else the session ends there
    begin: float = Field(default=0, ge=0, allow_inf_nan=False)  # seconds into a file


class SourceOffer(Source):
    """POST /api/sources."""

    style: StylePatch = StylePatch()
    name: Name | None = None  # as that of Offer


class SourcePatch(Message):
    """PATCH /api/sessions/{id}/source: of a file. What is left out stays."""

    position: float | None = Field(default=None, ge=0, allow_inf_nan=False)  # seconds
    loop: bool | None = None


class SourceState(Message):
    """Where a session's pictures come from, when the server finds them."""

    kind: SourceKind
    at: str  # as it was given; of an address without user, password and query
    # of a file, in seconds, and null otherwise
    position: float | None
    duration: float | None  # null also where the file does not tell
    loop: bool | None
    sound: bool  # it has some
    # retrying: it broke off and is opened again, with pauses from 1 to 30 s
    state: Literal["live", "retrying", "ended"]
    losses: int  # how often it broke off, or was not there when it was tried
    problem: str | None  # what went wrong last
    problem_id: str | None = None  # in the log
