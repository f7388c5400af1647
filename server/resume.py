"""What a session leaves behind when its connection is lost: the way back, for a minute."""

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from server.schema.style import Style
from streams.frame import SessionId


def _secret() -> str:
    return secrets.token_urlsafe(32)


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a session is, over however many connections."""

    id: SessionId = field(default_factory=lambda: SessionId(secrets.token_urlsafe(16)))
    token: str = field(default_factory=_secret)  # opens the session: GET, PATCH, DELETE
    viewer_token: str = field(default_factory=_secret)  # lets watch it
    resume: str = field(default_factory=_secret)  # brings it back with another offer
    name: str | None = None  # under which it is watched, as are those before and after it


class Lost:
    """Sessions that were lost, with the style that they had. Bounded by time and by count."""

    def __init__(
        self, seconds: float, most: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._seconds, self._most, self._clock = seconds, most, clock
        self._kept: dict[str, tuple[float, Identity, Style]] = {}

    def keep(self, identity: Identity, style: Style) -> None:
        """Keep the way back to a session; the oldest one goes when there are too many."""
        while len(self._kept) >= self._most:
            self._kept.pop(next(iter(self._kept)))
        self._kept[identity.resume] = (self._clock() + self._seconds, identity, style)

    def has_viewer(self, token: str) -> bool:
        """Say whether a viewer token belongs to a session that may still come back."""
        now = self._clock()
        return any(
            ends > now and secrets.compare_digest(token.encode(), identity.viewer_token.encode())
            for ends, identity, _ in self._kept.values()
        )

    def take(self, resume: str) -> tuple[Identity, Style] | None:
        """Give what a token brings back; not a second time, and not after its minute."""
        ends, identity, style = self._kept.pop(resume, (0.0, None, None))
        if identity is None or style is None or ends < self._clock():
            return None
        return identity, style
