"""Who may do what: the main token, one-time codes, and the limit on wrong guesses."""

import hashlib
import hmac
import secrets
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from fastapi import Request

from server.errors import ApiError
from server.lately import Lately

_CODE_LIFE = 600.0  # seconds; set-up and a browser's start fit in
_KIND = "page"  # how tokens begin that stand for the main one
_WATCH = "watch"  # how tokens begin that let watch whatever session has a name


def load_token(given: str | None, folder: Path) -> str:
    """Give the main token: the one given, else the one kept in `folder`, else a new one kept there.

    Kept over restarts, so that an open page finds back by itself; readable by its owner only. One
    that is damaged is replaced. Raises OSError with a way out.
    """
    if given is not None:
        return given
    kept = folder / "token"
    try:
        if kept.exists():
            token = kept.read_bytes().strip().decode("ascii", "replace")
            if len(token) >= 16 and token.isascii() and token.isprintable():
                return token
        token = secrets.token_urlsafe(32)
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        kept.touch(mode=0o600)
        kept.chmod(0o600)
        kept.write_text(token)
    except OSError as error:
        raise OSError(
            f"{kept}: no token can be kept there ({error.strerror}); give one as RESTYLE_TOKEN, or "
            "another folder as XDG_STATE_HOME"
        ) from error
    return token


class Codes:
    """One-time codes of printed links, each good for one exchange against the token."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._ends: dict[str, float] = {}

    def new(self) -> str:
        """Make a code."""
        now = self._clock()
        self._ends = {code: end for code, end in self._ends.items() if end > now}
        code = secrets.token_urlsafe(16)
        self._ends[code] = now + _CODE_LIFE
        return code

    def use(self, code: str) -> bool:
        """Say whether a code is good; it is not a second time."""
        return self._ends.pop(code, 0.0) > self._clock()


class Guesses:
    """Counts wrong tokens by address: so many a minute, then 429."""

    def __init__(self, most: int) -> None:
        self._wrong = Lately(most)

    def check(self, address: str) -> None:
        """Raise ApiError when an address has guessed too often."""
        if wait := self._wrong.wait(address):
            raise ApiError("too_many_bad_tokens", "too many wrong tokens from here", wait)

    def wrong(self, address: str) -> None:
        """Note a wrong guess."""
        self._wrong.note(address)


def issue(main: str, seconds: float, clock: Callable[[], float] = time.time) -> str:
    """Make a token that stands for the main one until its time is over.

    It says its end and is signed with the main token, so it survives a restart and is stored
    nowhere; another main token ends every one at once.
    """
    body = f"{_KIND}.{int(clock() + seconds)}.{secrets.token_urlsafe(16)}"
    return f"{body}.{_signature(main, body)}"


def watch_token(main: str, name: str) -> str:
    """Make the token that lets watch sessions of a name: the same each time, so a link lasts."""
    body = f"{_WATCH}.{name}"
    return f"{body}.{_signature(main, body)}"


def lets_watch(token: str, main: str) -> bool:
    """Say whether `watch_token` made a token, for whatever name."""
    body, _, signature = token.rpartition(".")
    return body.startswith(f"{_WATCH}.") and same(signature, _signature(main, body))


def judge(
    token: str, main: str, clock: Callable[[], float] = time.time
) -> Literal["good", "expired", "unknown"]:
    """Say whether a token is the main one, or stands for it."""
    if same(token, main):
        return "good"
    body, _, signature = token.rpartition(".")
    if not body.startswith(f"{_KIND}.") or not same(signature, _signature(main, body)):
        return "unknown"
    return "good" if int(body.split(".")[1]) > clock() else "expired"


def _signature(main: str, body: str) -> str:
    return hmac.new(main.encode(), body.encode(), hashlib.sha256).hexdigest()


def bearer(request: Request) -> str:
    """Give the token of the Authorization header; empty when there is none."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def address(request: Request) -> str:
    """Give the address that a request came from."""
    return request.client.host if request.client else ""


def same(one: str, other: str) -> bool:
    """Compare tokens in constant time."""
    return secrets.compare_digest(one.encode(), other.encode())
