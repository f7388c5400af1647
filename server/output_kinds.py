"""The kinds of outputs: what each needs to be there, where it goes, what opens it."""

from collections.abc import Callable

from server.errors import ApiError
from server.schema import NewOutput, NewRecording, NewRtmp, OutputKind
from server.settings import Settings
from server.stream_targets import Target, TargetError, allowed, parse_target
from streams.sinks.live_stream import LiveStream
from streams.sinks.protocol import Sink
from streams.sinks.recording import Recording, recording_path
from streams.sinks.stream_child import DEADLINE, Start

Plan = tuple[str, Callable[[], Sink]]  # where it goes, for people, without secrets; what opens it


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


# why a kind cannot be started here; None: it can
MISSING: dict[OutputKind, Callable[[Settings], str | None]] = {
    "recording": _no_folder,
    "rtmp": _no_target,
}


def plan(wanted: NewOutput, settings: Settings) -> Plan:
    """Check what is wanted. Raises ApiError 403 or 422."""
    missing = MISSING[wanted.kind](settings)
    if missing is not None:
        raise ApiError("output_off", missing)
    match wanted:
        case NewRecording():
            return _recording(settings)
        case NewRtmp():
            return _rtmp(wanted, settings)


def _recording(settings: Settings) -> Plan:
    assert settings.recordings is not None
    path = recording_path(settings.recordings)
    return path.name, lambda: Recording(path, settings.width, settings.height)


def _rtmp(wanted: NewRtmp, settings: Settings) -> Plan:
    key = wanted.key.get_secret_value() if wanted.key else ""
    target = _checked(wanted.url.get_secret_value(), key, settings)
    start = Start(
        url=target.url,
        format="flv",
        width=settings.width,
        height=settings.height,
        kbps=settings.stream_kbps,
        deadline=DEADLINE,
    )
    return target.shown, lambda: LiveStream(start)


def _checked(url: str, key: str, settings: Settings) -> Target:
    try:
        target = parse_target(url, key)
    except TargetError as error:
        raise ApiError("invalid", f"url: {error}") from None
    if not allowed(target, settings.stream_targets):
        may = ", ".join(sorted({parse_target(each).shown for each in settings.stream_targets}))
        raise ApiError(
            "target_not_allowed",
            f"{target.shown} with that path is not in --stream-targets; servers there: {may}",
        )
    return target
