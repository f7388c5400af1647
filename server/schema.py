"""Every message and body that people and programs send or receive. TypeScript is made from it.

The style fields here are the one schema for HTTP, data channel, command line and page; each
default comes from pipeline.params.StyleParams.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, TypeAdapter

from pipeline.params import Noise, StyleParams

_DEFAULT = StyleParams()
# none: the pictures that come in are ordinary ones. side: those that bear the mark of
# streams/matte.py are colour left and its matte in grey right, and so is what comes out of them
Matte = Literal["none", "side"]
Prompt = Annotated[str, Field(max_length=500)]


class Message(BaseModel):
    """Strict: a wrong type is refused, an unknown key too."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class Style(Message):
    """All style values, as in force."""

    prompt: Prompt = _DEFAULT.prompt
    negative_prompt: Prompt = _DEFAULT.negative_prompt
    strength: float = Field(default=_DEFAULT.strength, ge=0, le=1)
    guidance_scale: float = Field(default=_DEFAULT.guidance_scale, ge=1, le=10)
    seed: int = Field(default=_DEFAULT.seed, ge=0, le=2**32 - 1)
    steps: int = Field(default=_DEFAULT.steps, ge=1, le=8)
    noise: Noise = _DEFAULT.noise
    noise_warp: float = Field(default=_DEFAULT.noise_warp, ge=0, le=1)
    deflicker: float = Field(default=_DEFAULT.deflicker, ge=0, le=1)
    deflicker_search: bool = _DEFAULT.deflicker_search
    motion_noise: float = Field(default=_DEFAULT.motion_noise, ge=0, le=1)
    blend_seed: int = Field(default=_DEFAULT.blend_seed, ge=0, le=2**32 - 1)
    seed_blend: float = Field(default=_DEFAULT.seed_blend, ge=0, le=1)
    travel: float = Field(default=_DEFAULT.travel, ge=0, le=60)
    similarity_filter: float = Field(default=_DEFAULT.similarity_filter, ge=0, le=1)
    bypass: bool = _DEFAULT.bypass

    def params(self) -> StyleParams:
        """Hand the values to the pipeline."""
        return StyleParams(**self.model_dump())


class StylePatch(Message):
    """New style values. Keys left out stay as they are."""

    prompt: Prompt | None = None
    negative_prompt: Prompt | None = None
    strength: float | None = Field(default=None, ge=0, le=1)
    guidance_scale: float | None = Field(default=None, ge=1, le=10)
    seed: int | None = Field(default=None, ge=0, le=2**32 - 1)
    steps: int | None = Field(default=None, ge=1, le=8)
    noise: Noise | None = None
    noise_warp: float | None = Field(default=None, ge=0, le=1)
    deflicker: float | None = Field(default=None, ge=0, le=1)
    deflicker_search: bool | None = None
    motion_noise: float | None = Field(default=None, ge=0, le=1)
    blend_seed: int | None = Field(default=None, ge=0, le=2**32 - 1)
    seed_blend: float | None = Field(default=None, ge=0, le=1)
    travel: float | None = Field(default=None, ge=0, le=60)
    similarity_filter: float | None = Field(default=None, ge=0, le=1)
    bypass: bool | None = None

    def apply(self, style: Style) -> Style:
        """Give `style` with the values that this patch names."""
        return style.model_copy(update=self.model_dump(exclude_none=True))


# --- HTTP -----------------------------------------------------------------------------------


class Offer(Message):
    """POST /api/sessions."""

    sdp: str = Field(max_length=65536)
    type: Literal["offer"]
    style: StylePatch = StylePatch()
    matte: Matte = "none"
    # of the answer before: brings the session back, with its id, viewers' link and style, on which
    # `style` is put. One that is not known any more is no error: a new session is made.
    resume: str | None = Field(default=None, max_length=128)


class IceServer(Message):
    """One STUN or TURN server, as RTCPeerConnection takes it."""

    urls: list[str]
    username: str | None = None
    credential: str | None = None


class Answer(Message):
    """201 of POST /api/sessions."""

    id: str
    token: str  # opens this one session: GET, PATCH, DELETE
    viewer_token: str  # lets watch it (POST /whep/{id}), nothing else
    resume: str  # send it with the next offer when the connection is lost; see Offer
    sdp: str
    type: Literal["answer"] = "answer"
    ice_servers: list[IceServer]
    style: Style
    hint: str | None = None


class SourceOffer(Message):
    """POST /api/sources: pictures that the server finds by itself."""

    kind: Literal["file", "image", "url", "device"]
    at: str = Field(min_length=1, max_length=2000)  # path in the folder, address, or device
    style: StylePatch = StylePatch()


class SessionMade(Message):
    """201 of POST /api/sources."""

    id: str
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
    problem: OutputProblem | None


class _NewOutput(Message):
    # what is there instead of the room when the session has a matte: an output is never transparent
    backdrop: str = Field(default="#000000", pattern="^#[0-9a-fA-F]{6}$")


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


class SessionState(Message):
    """GET /api/sessions/{id}."""

    id: str
    state: Literal["connecting", "live", "stalled", "closed"]
    style: Style
    hint: str | None  # what the model did not understand of the prompt
    width: int  # of the picture, without its matte
    height: int
    matte: Matte
    viewers: int  # who watch over WHEP
    viewer_token: str
    muted: bool  # its sound does not pass on
    stats: Stats


class SessionList(Message):
    """GET /api/sessions."""

    sessions: list[SessionState]


class StyleInForce(Message):
    """Answer of PATCH /api/sessions/{id}."""

    style: Style
    frame: int  # number of the first input frame that it holds for
    hint: str | None = None


class PictureSize(Message):
    """Of the restyled picture, in pixels; the camera's centre is cut to its shape."""

    width: int = Field(ge=256, le=1024)
    height: int = Field(ge=256, le=1024)


class SoundChange(Message):
    """PUT /api/sessions/{id}/sound."""

    muted: bool


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
    defaults: Style
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


# --- data channel `control` -----------------------------------------------------------------


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
    # not running: the picture is untouched. stuck: no answer yet; failed: restarts are given up
    engine: Literal["running", "stuck", "restarting", "failed"]
    stats: Stats
    outputs: list[OutputState]


class ErrorMessage(Message):
    """A control message that was refused; everything stays as it was."""

    type: Literal["error"] = "error"
    seq: int | None
    code: str
    detail: str


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
