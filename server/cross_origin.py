"""CORS for WHIP and WHEP, which players on other sites speak: only for configured origins."""

from collections.abc import Collection

Headers = list[tuple[bytes, bytes]]

SDP = "application/sdp"
FRAGMENT = "application/trickle-ice-sdpfrag"
PICTURES = ("image/jpeg", "image/png", "image/webp")


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
