"""What routes share: the state of the app, and who is asking."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Annotated, NoReturn

from fastapi import Depends, Request

from server.auth import (
    Codes,
    Guesses,
    address,
    bearer,
    judge,
    lets_watch,
    same,
    watch_token,
)
from server.errors import ApiError
from server.resume import Identity
from server.session import Session
from server.sessions import Sessions
from server.settings import Settings
from streams.loop_lag import LoopLag
from streams.media_process import MediaProcesses
from streams.worker import Worker


@dataclass(frozen=True, slots=True)
class Context:
    """Everything a route may need."""

    settings: Settings
    worker: Worker
    sessions: Sessions
    token: str
    codes: Codes
    guesses: Guesses
    loop_lag: LoopLag
    media: MediaProcesses
    osc: Counter[str] = field(default_factory=Counter)  # messages that were used, and ignored

    def identity(self, name: str | None) -> Identity:
        """Make who a new session is; with a name its viewer token is that of the name."""
        if name is None:
            return Identity()
        return Identity(name=name, viewer_token=watch_token(self.token, name))


async def context(request: Request) -> Context:
    """Give the app's state."""
    found: Context = request.app.state.context
    return found


Here = Annotated[Context, Depends(context)]


async def owner(request: Request, here: Here) -> None:
    """Let only the main token through. Raises ApiError 401 or 429."""
    here.guesses.check(address(request))
    if _is_owner(request, here):
        return
    _refuse(request, here)


async def session_of(id: str, request: Request, here: Here) -> Session:
    """Let the main token through, and the session's own. A token of another session learns
    nothing: 404, as for a session that is not there.
    """
    here.guesses.check(address(request))
    token = bearer(request)
    if _is_owner(request, here):
        found: Session = here.sessions.get(id)
        return found
    for session in here.sessions:
        if same(token, session.token):
            request.scope["known"] = True
            if session.id != id:
                raise ApiError("not_found", "no such session")
            return session
    _refuse(request, here)


async def watched_session(id: str, request: Request, here: Here) -> Session:
    """Let a session's viewer token through too."""
    here.guesses.check(address(request))
    watched = _watched(request, here)
    request.scope["known"] = bool(watched)
    if not watched:
        if here.sessions.lost.has_viewer(bearer(request)):
            raise ApiError("not_live", "the stream's connection was lost; it may come back", 2)
        if lets_watch(bearer(request), here.token):
            raise ApiError("not_live", "nothing of this name is live; it may come", 2)
        found: Session = await session_of(id, request, here)
        return found
    for session in watched:
        if id in (session.id, session.name):
            return session
    raise ApiError("not_found", "no such session")


def _is_owner(request: Request, here: Context) -> bool:
    """Say whether the main token came, or one that stands for it. Raises ApiError when it ended."""
    verdict = judge(bearer(request), here.token)
    if verdict == "expired":
        request.app.state.print_link()
        raise ApiError("token_expired", "this token has ended; the terminal shows a new link")
    request.scope["known"] = verdict == "good"  # for the log: server/errors.py
    return verdict == "good"


def _watched(request: Request, here: Context) -> list[Session]:
    """Give the sessions that a viewer token belongs to, the newest first; several have a name."""
    token = bearer(request)
    return [s for s in here.sessions if same(token, s.viewer_token)][::-1]


def _refuse(request: Request, here: Context) -> NoReturn:
    token = bearer(request)
    watches = here.sessions.lost.has_viewer(token) or lets_watch(token, here.token)
    if watches or _watched(request, here):
        raise ApiError("viewer_only", "a viewer token may watch, nothing else")
    if token:
        here.guesses.wrong(address(request))
        raise ApiError("unauthorised", "this token is not known here")
    raise ApiError("unauthorised", "send Authorization: Bearer and the token")


Owned = Annotated[Session, Depends(session_of)]
Watched = Annotated[Session, Depends(watched_session)]
OwnerOnly = Depends(owner)
