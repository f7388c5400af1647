"""Which servers may be streamed to: an address is checked against the setting `stream_targets`."""

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

_PORTS = {"rtmp": 1935, "rtmps": 443, "srt": None}  # SRT has no usual one
_LONGEST = 1000  # characters
_FORM = "rtmp://host[:port]/path, rtmps://host[:port]/path or srt://host:port"


class TargetError(ValueError):
    """An address that is none; the text quotes no part of it, which may be a stream key."""


@dataclass(frozen=True, slots=True)
class Target:
    """A server, and the path on it; what may be shown of it is `shown`."""

    scheme: str
    host: str
    port: int
    path: tuple[str, ...]
    url: str

    @property
    def shown(self) -> str:
        """Name the server without the path: a path may be a stream key."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"

    def within(self, allowed: "Target") -> bool:
        """Say whether it is on the allowed server and under the allowed path."""
        return (
            (self.scheme, self.host, self.port) == (allowed.scheme, allowed.host, allowed.port)
            and self.path[: len(allowed.path)] == allowed.path
        )  # fmt: skip


def parse_target(url: str, key: str = "") -> Target:
    """Read an address, and a stream key that belongs behind it. Raises TargetError."""
    whole = f"{url.rstrip('/')}/{key}" if key else url
    if len(whole) > _LONGEST:
        raise TargetError(f"at most {_LONGEST} characters")
    # what FFmpeg takes for an option of its own follows a space; nothing foreign gets that far
    if not whole.isascii() or any(
        character <= " " or character in '"\\\x7f' for character in whole
    ):
        raise TargetError("only printable ASCII, without spaces, quotes and backslashes")
    try:
        parts = urlsplit(whole)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise TargetError(f"not of the form {_FORM}") from None
    if parts.scheme not in _PORTS or not host:
        raise TargetError(f"not of the form {_FORM}")
    if parts.username is not None or parts.fragment:
        raise TargetError("no user name before the host and no #")
    port = port or _PORTS[parts.scheme]
    if port is None or (parts.scheme == "srt" and (parts.path.strip("/") or parts.query)):
        # a query could turn the caller into a listener; what is needed of it has its own fields
        raise TargetError("srt:// wants host and port, nothing more: stream id apart from it")
    path = tuple(part for part in parts.path.split("/") if part)
    if any(part in (".", "..") for part in unquote(parts.path).split("/")):
        raise TargetError("no . or .. in the path")
    return Target(parts.scheme, host, port, path, whole)


def allowed(target: Target, targets: Sequence[str]) -> bool:
    """Say whether an address is within one of the setting's."""
    return any(target.within(parse_target(each)) for each in targets)
