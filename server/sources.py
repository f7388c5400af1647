"""Which sources of this machine and its network may be opened: none, unless settings allow it."""

from urllib.parse import SplitResult, unquote, urlsplit

from server.errors import ApiError
from server.schema.sources import Source
from server.settings import Settings
from streams.sources.place import Place
from streams.sources.srt import query_of


def allowed(settings: Settings, wanted: Source) -> Place:
    """Give the place that is meant. Raises ApiError 403 for one that no setting allows."""
    kind, at = wanted.kind, wanted.at
    if kind == "url":
        return _url(settings, at)
    if kind == "device":
        if at not in settings.source_devices:
            raise _refusal("device", settings.source_devices, "RESTYLE_SOURCE_DEVICES")
        return Place(kind, at)
    folder = settings.source_folder
    if folder is None:
        raise _refusal(kind, [], "RESTYLE_SOURCE_FOLDER")
    try:
        path = (folder / at).resolve()  # links are followed: what counts is where they lead
    except (OSError, ValueError) as error:  # a NUL, a circle of links
        raise ApiError("invalid", "at: no path of a file") from error
    if not path.is_relative_to(folder.resolve()):
        raise ApiError("source_not_allowed", f"{kind}: only what lies in the sources' folder")
    return Place(kind, str(path), at)


def _url(settings: Settings, at: str) -> Place:
    try:
        wanted = urlsplit(at)
        fits = any(_covers(urlsplit(each), wanted) for each in settings.source_urls)
    except ValueError as error:
        raise ApiError("invalid", "at: no address") from error
    if not fits:
        raise _refusal("url", settings.source_urls, "RESTYLE_SOURCE_URLS")
    return Place("url", at)


def _covers(allowed: SplitResult, wanted: SplitResult) -> bool:
    """Compare part by part: a mere beginning would also let through host names that begin so."""
    if (allowed.scheme, allowed.hostname, allowed.port) != (
        wanted.scheme, wanted.hostname, wanted.port,
    ):  # fmt: skip
        return False
    folder = allowed.path.rstrip("/")
    inside = wanted.path == folder or wanted.path.startswith(folder + "/")
    # servers read %2e%2e and backslashes as this, too
    parts = unquote(wanted.path).replace("\\", "/").split("/")
    return inside and ".." not in parts and _same_stream(allowed, wanted)


def _same_stream(allowed: SplitResult, wanted: SplitResult) -> bool:
    """Of SRT the stream id stands for the path: where one is allowed, it must be that one."""
    named = query_of(allowed).get("streamid") if allowed.scheme == "srt" else None
    return named is None or query_of(wanted).get("streamid") == named


def _refusal(kind: str, allowed: list[str], setting: str) -> ApiError:
    # not which: they may hold a camera's name
    known = f"{len(allowed)} allowed, this is none of them" if allowed else "none is allowed"
    return ApiError("source_not_allowed", f"{kind}: {known}; {setting} decides")
