"""Sessions: offers, answers, states, figures."""

from typing import Literal

from pydantic import Field

from server.schema.message import Message, Name
from server.schema.sources import SourceState
from server.schema.style import Style, StylePatch
from streams.protocol import EngineForSession

# none: the pictures that come in are ordinary ones. side: those that bear the mark of
# streams/matte.py are colour left and its matte in grey right, and so is what comes out of them
Matte = Literal["none", "side"]


class Offer(Message):
    """POST /api/sessions."""

    sdp: str = Field(max_length=65536)
    type: Literal["offer"]
    style: StylePatch = StylePatch()
    matte: Matte = "none"
    # of the answer before: brings the session back, with its id, viewers' link and style, on which
    # `style` is put. One that is not known any more is no error: a new session is made.
    resume: str | None = Field(default=None, max_length=128)
    # under which it is watched, too: address and token stay those of the next session of the name
    name: Name | None = None


class IceServer(Message):
    """One STUN or TURN server, as RTCPeerConnection takes it."""

    urls: list[str]
    username: str | None = None
    credential: str | None = None


class Answer(Message):
    """201 of POST /api/sessions."""

    id: str
    name: str | None
    token: str  # opens this one session: GET, PATCH, DELETE
    viewer_token: str  # lets watch it (POST /whep/{id}), nothing else
    resume: str  # send it with the next offer when the connection is lost; see Offer
    sdp: str
    type: Literal["answer"] = "answer"
    ice_servers: list[IceServer]
    style: Style
    hint: str | None = None


class SessionMade(Message):
    """201 of POST /api/sources."""

    id: str
    name: str | None
    token: str  # opens this one session: GET, PATCH, DELETE
    viewer_token: str  # lets watch it (POST /whep/{id}), nothing else
    style: Style
    hint: str | None = None


class Percentiles(Message):
    """Of the last few seconds; null before the first frame."""

    p50: float | None
    p95: float | None


class Stats(Message):
    """Live figures of one session. Rates and percentiles cover the last few seconds."""

    fps_in: float
    fps_out: float
    frames_in: int
    frames_out: int
    skipped: int  # output frames that repeat the one before: the input had hardly changed
    dropped: int  # input frames that a newer one replaced before their turn
    age_ms: Percentiles  # from decoded input frame to the hand-over to the encoder
    stages_ms: dict[
        str, float
    ]  # mean per stage: wait, convert_in, encode, unet, decode, convert_out
    # median change in grey levels where the camera's picture stands still; null: nothing does
    flicker: float | None


class SessionState(Message):
    """GET /api/sessions/{id}."""

    id: str
    name: str | None  # see Offer
    state: Literal["connecting", "live", "stalled", "closed"]
    # not running: the picture is untouched. stuck: no answer yet; failed: restarts are given up;
    # held: it was lost twice with this session's pictures, `hint` says what lets them in again
    engine: EngineForSession
    style: Style
    hint: str | None  # what the model did not understand of the prompt, or why it is held
    width: int  # of the picture, without its matte
    height: int
    matte: Matte
    viewers: int  # who watch over WHEP
    viewer_token: str
    muted: bool  # its sound does not pass on
    source: SourceState | None  # null: its page or its publisher sends the pictures
    stats: Stats


class SessionList(Message):
    """GET /api/sessions."""

    sessions: list[SessionState]


class NameChange(Message):
    """PUT /api/sessions/{id}/name; null: none, and links given so far let nobody in any more."""

    name: Name | None


class NameInForce(NameChange):
    """Answer of PUT /api/sessions/{id}/name."""

    viewer_token: str


class PictureSize(Message):
    """Of the restyled picture, in pixels; the camera's centre is cut to its shape."""

    width: int = Field(ge=256, le=1024)
    height: int = Field(ge=256, le=1024)


class MatteChange(Message):
    """Whether a matte comes beside the picture. What comes without its mark is an ordinary one."""

    matte: Matte


class MatteInForce(MatteChange):
    """Answer of PUT /api/sessions/{id}/matte."""

    frame: int  # number of the first input frame that it holds for


class SizeInForce(Message):
    """Answer of PUT /api/sessions/{id}/size."""

    width: int
    height: int
    frame: int  # number of the first input frame that it holds for


class SoundChange(Message):
    """PUT /api/sessions/{id}/sound."""

    muted: bool
