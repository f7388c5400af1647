"""What every request passes before a route sees it: Host, Origin, sizes, headers of the answer."""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import urlsplit

from starlette.exceptions import HTTPException

from server.cross_origin import body_types, cross_origin
from server.errors import refusal
from server.settings import Settings

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

_WRITES = ("POST", "PUT", "PATCH", "DELETE")
_POLICY = (
    "default-src 'self'; img-src 'self' blob: data:; media-src 'self' blob: mediastream:; "
    "script-src 'self' 'wasm-unsafe-eval'; connect-src 'self'; object-src 'none'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)
# the page asks OBS of its own machine to show the overlay; OBS's port is the owner's choice
_PAGE_POLICY = _POLICY.replace("connect-src 'self'", "connect-src 'self' ws://127.0.0.1:*")
_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(self), microphone=(self), display-capture=(self)"),
)


class Guard:
    """ASGI middleware. Pure ASGI, so that bodies stream through untouched."""

    def __init__(self, app: App, settings: Settings) -> None:
        self._app, self._settings = app, settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse, or pass on; the answer says the request's id."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        policy = _PAGE_POLICY if scope["path"] == "/" else _POLICY
        extra = [
            (b"content-security-policy", policy.encode()),
            *_HEADERS,
        ]
        if self._settings.tls_cert:
            extra.append((b"strict-transport-security", b"max-age=31536000"))

        origin = dict(scope["headers"]).get(b"origin")
        given = None if origin is None else origin.decode("latin-1")
        extra += cross_origin(scope["path"], given, self._settings.origins)

        async def send_with_headers(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                # server/access.py gave it; of a flood of refusals some share one
                its = (b"x-request-id", scope["request_id"].encode())
                kept = (b"cache-control", _kept_for(scope["path"], message["status"]))
                message["headers"] = [*message.get("headers", ()), its, kept, *extra]
            await send(message)

        why = self._refusal(scope)
        if why is not None:
            await refusal(scope, *why)(scope, receive, send_with_headers)
            return
        await self._app(scope, self._limited(receive), send_with_headers)

    def _limited(self, receive: Receive) -> Receive:
        """Count a body as it comes: one sent in chunks does not say its length before."""
        left = self._settings.max_body

        async def receive_limited() -> MutableMapping[str, Any]:
            nonlocal left
            message = await receive()
            left -= len(message.get("body", b""))
            if left < 0:
                raise HTTPException(413, f"a body of at most {self._settings.max_body} bytes fits")
            return message

        return receive_limited

    def _refusal(self, scope: Scope) -> tuple[str, str] | None:
        headers: dict[bytes, bytes] = dict(scope["headers"])
        size = sum(len(name) + len(value) for name, value in scope["headers"])
        if size > self._settings.max_headers:
            return "headers_too_large", f"headers of {size} bytes; {self._settings.max_headers} fit"
        length = headers.get(b"content-length", b"0")
        if length.isdigit() and int(length) > self._settings.max_body:
            return "too_large", f"a body of {int(length)} bytes; {self._settings.max_body} fit"
        host = headers.get(b"host", b"").decode("latin-1")
        if _without_port(host).lower() not in self._settings.allowed_hosts:
            return "bad_host", "this server does not answer to that Host"
        if scope["method"] in _WRITES:
            origin = headers.get(b"origin")
            if origin is not None and not self._own(origin.decode("latin-1"), host):
                return "foreign_origin", "that Origin may not write here"
            kind = headers.get(b"content-type", b"").split(b";")[0].strip().lower()
            has_body = (
                headers.get(b"content-length", b"0") != b"0" or b"transfer-encoding" in headers
            )
            wanted = body_types(scope["path"], scope["method"])
            if has_body and kind.decode("latin-1") not in wanted:
                return "wrong_content_type", f"send {' or '.join(wanted)}"
        return None

    def _own(self, origin: str, host: str) -> bool:
        if origin in self._settings.origins:
            return True
        try:
            parts = urlsplit(origin)
        except ValueError:  # an open bracket
            return False
        return parts.scheme in ("http", "https") and parts.netloc.lower() == host.lower()


def _kept_for(path: str, status: int) -> bytes:
    """Say how long a browser may keep an answer: a file with its hash in its name for ever.

    That it is not there is true today only: the page may just be exchanged for a newer one.
    """
    if path.startswith("/assets/") and status < 400:
        return b"public, max-age=31536000, immutable"
    return b"no-store"


def _without_port(host: str) -> str:
    if host.startswith("["):
        return host[: host.find("]") + 1]
    return host.rsplit(":", 1)[0] if ":" in host else host
