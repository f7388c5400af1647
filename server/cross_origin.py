"""CORS for WHIP and WHEP, which players on other sites speak: only for configured origins."""

from collections.abc import Collection
from urllib.parse import urlsplit

Headers = list[tuple[bytes, bytes]]

SDP = "application/sdp"
FRAGMENT = "application/trickle-ice-sdpfrag"
PICTURES = ("image/jpeg", "image/png", "image/webp")


_PORTS = {"http": 80, "https": 443}  # which browsers leave out


def parse_origin(written: str) -> str:
    """Give an origin as browsers send it: small letters, no usual port, no slash at its end.

    Raises ValueError for what no browser sends.
    """
    try:
        parts = urlsplit(written.lower())
        host, port = parts.hostname, parts.port
    except ValueError:  # an open bracket, or a port that is none
        raise _no_origin(written) from None
    whole = parts.geturl().removesuffix("/")
    plain = whole.isascii() and "@" not in whole and whole == f"{parts.scheme}://{parts.netloc}"
    if not host or not plain:
        raise _no_origin(written)
    if port is None:
        return whole.removesuffix(":")
    return whole.rpartition(":")[0] if port == _PORTS.get(parts.scheme) else whole


def _no_origin(written: str) -> ValueError:
    return ValueError(f"{written!r}: give scheme://host or scheme://host:port, ASCII, no path")


def is_signalling(path: str) -> bool:
    """Say whether a path belongs to WHIP or WHEP."""
    return path.split("/", 2)[1:2] in (["whip"], ["whep"])


def body_types(path: str, method: str) -> tuple[str, ...]:
    """Give the Content-Types that a body may have."""
    if is_signalling(path):
        return (FRAGMENT if method == "PATCH" else SDP,)
    if path == "/api/reference":
        return PICTURES
    return ("application/json",)


def cross_origin(path: str, origin: str | None, origins: Collection[str]) -> Headers:
    """Give the headers that let a page of a configured origin read an answer."""
    if not is_signalling(path):
        return []
    vary = (b"vary", b"Origin")
    if origin is None or origin not in origins:
        return [vary]
    return [
        vary,
        (b"access-control-allow-origin", origin.encode("latin-1")),
        (b"access-control-expose-headers", b"Location, Link, ETag, Retry-After"),
        (b"access-control-allow-methods", b"GET, POST, PATCH, DELETE, OPTIONS"),
        (b"access-control-allow-headers", b"Authorization, Content-Type, If-Match"),
    ]
