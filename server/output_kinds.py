"""The kinds of outputs: what each needs to be there, where it goes, what opens it."""

from collections.abc import Callable
from dataclasses import dataclass

from pydantic import SecretStr

from pipeline.config import Size
from server.errors import ApiError
from server.schema.outputs import (
    NewOutput,
    NewRecording,
    NewRtmp,
    NewSrt,
    NewVirtualCamera,
    OutputKind,
)
from server.settings import Settings
from server.stream_targets import Target, TargetError, allowed, parse_target
from streams.sinks.live_stream import LiveStream
from streams.sinks.protocol import Sink
from streams.sinks.recording import Recording, recording_path
from streams.sinks.stream_child import DEADLINE, SrtStart, Start
from streams.sinks.virtual_camera import VirtualCamera, virtual_camera_missing
from streams.srt import NO_LIBSRT, libsrt


@dataclass(frozen=True, slots=True)
class Plan:
    """An output that may begin."""

    target: str  # where it goes, for people, without secrets
    open_sink: Callable[[], Sink]
    # pictures, a quarter of a second: a file or a stream that skips some at each hiccup would jerk,
    # and one that is further behind has lost touch
    room: int = 8


def _no_folder(settings: Settings) -> str | None:
    if settings.recordings is None:
        return "recording is off: start the server with --recordings FOLDER (RESTYLE_RECORDINGS)"
    return None


def _no_target(settings: Settings) -> str | None:
    if not settings.stream_targets:
        return (
            "streaming is off: start the server with --stream-targets rtmp://HOST/PATH, what it "
            "may stream to (RESTYLE_STREAM_TARGETS)"
        )
    return None


def _no_libsrt() -> str | None:
    return NO_LIBSRT if libsrt() is None else None


# why a kind cannot be started here; None: it can
MISSING: dict[OutputKind, Callable[[Settings], str | None]] = {
    "recording": _no_folder,
    "rtmp": _no_target,
    "srt": lambda settings: _no_target(settings) or _no_libsrt(),
    "virtual_camera": lambda settings: virtual_camera_missing(),
}


def plan(wanted: NewOutput, size: Size, settings: Settings) -> Plan:
    """Check what is wanted; pictures will have that size. Raises ApiError 403 or 422."""
    missing = MISSING[wanted.kind](settings)
    if missing is not None:
        raise ApiError("output_off", missing)
    match wanted:
        case NewRecording():
            return _recording(size, settings)
        case NewRtmp():
            return _rtmp(wanted, size, settings)
        case NewSrt():
            return _srt(wanted, size, settings)
        case NewVirtualCamera():
            return _virtual_camera(size, settings)


def _recording(size: Size, settings: Settings) -> Plan:
    assert settings.recordings is not None
    path = recording_path(settings.recordings)
    return Plan(path.name, lambda: Recording(path, *size))


def _rtmp(wanted: NewRtmp, size: Size, settings: Settings) -> Plan:
    target = _checked(("rtmp", "rtmps"), wanted.url, settings, _secret(wanted.key))
    return _stream(target, None, size, settings)


def _srt(wanted: NewSrt, size: Size, settings: Settings) -> Plan:
    target = _checked(("srt",), wanted.url, settings)
    streamid, passphrase = _secret(wanted.streamid), _secret(wanted.passphrase)
    if passphrase and not 10 <= len(passphrase.encode()) <= 79:
        raise ApiError("invalid", "passphrase: 10 to 79 characters, or none")
    if len(streamid.encode()) > 512:
        raise ApiError("invalid", "streamid: at most 512 characters")
    to = SrtStart(host=target.host, port=target.port, streamid=streamid, passphrase=passphrase)
    return _stream(target, to, size, settings)


def _virtual_camera(size: Size, settings: Settings) -> Plan:
    device = settings.virtual_camera
    return Plan(
        device or "the first free one",
        lambda: VirtualCamera(*size, device),
        room=1,  # a camera shows the newest
    )


def _stream(target: Target, srt: SrtStart | None, size: Size, settings: Settings) -> Plan:
    start = Start(
        url=target.url,
        srt=srt,
        width=size[0],
        height=size[1],
        kbps=settings.stream_kbps,
        deadline=DEADLINE,
    )
    return Plan(target.shown, lambda: LiveStream(start))


def _checked(schemes: tuple[str, ...], url: SecretStr, settings: Settings, key: str = "") -> Target:
    try:
        target = parse_target(url.get_secret_value(), key)
    except TargetError as error:
        raise ApiError("invalid", f"url: {error}") from None
    if target.scheme not in schemes:
        raise ApiError("invalid", f"url: {target.scheme}:// given; {' or '.join(schemes)} wanted")
    if not allowed(target, settings.stream_targets):
        may = ", ".join(sorted({parse_target(each).shown for each in settings.stream_targets}))
        raise ApiError(
            "target_not_allowed",
            f"{target.shown} with that path is not in --stream-targets; servers there: {may}",
        )
    return target


def _secret(given: SecretStr | None) -> str:
    return given.get_secret_value() if given else ""
