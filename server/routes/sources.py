"""Sessions whose pictures come from this machine or its network: nobody needs to hold a camera."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response

from server.auth import address
from server.errors import ApiError
from server.routes.context import Here, Owned, OwnerOnly
from server.schema.sessions import SessionMade
from server.schema.sources import Source, SourceOffer, SourcePatch, SourceState
from server.session_source import SessionSource
from server.sources import allowed

router = APIRouter(prefix="/api", tags=["sources"])


async def source_of(session: Owned) -> SessionSource:
    """Give a session's source. Raises ApiError 409 where the server does not find its pictures."""
    if session.source is None:
        raise ApiError(
            "no_source",
            "the pictures of this session are sent to it; only those of POST /api/sources come "
            "from a source that can be changed",
        )
    return session.source


Its = Annotated[SessionSource, Depends(source_of)]


@router.post("/sources", status_code=201, dependencies=[OwnerOnly])
async def open_source(
    offer: SourceOffer, request: Request, response: Response, here: Here
) -> SessionMade:
    """Make a session of a file, an image, an address or a device that the settings allow."""
    place = allowed(here.settings, offer)
    session = await here.sessions.create_from(
        place, offer.loop, offer.begin, offer.style, address(request), here.identity(offer.name)
    )
    response.headers["Location"] = f"/api/sessions/{session.id}"
    return SessionMade(
        id=session.id, name=session.name, token=session.token,
        viewer_token=session.viewer_token, style=session.control.style, hint=session.control.hint,
    )  # fmt: skip


# the main token alone: a session's own one was given away for what it showed then
@router.put("/sessions/{id}/source", dependencies=[OwnerOnly])
async def change(wanted: Source, source: Its, here: Here) -> SourceState:
    """Take pictures from elsewhere; style, viewers and outputs stay. The old ones go on until
    the new place is open, and when it cannot be opened.
    """
    await source.open(allowed(here.settings, wanted), wanted.loop, wanted.begin)
    return source.state()


@router.patch("/sessions/{id}/source")
async def seek(patch: SourcePatch, source: Its) -> SourceState:
    """Go to a moment of a file, or let it begin again at its end or not."""
    source.patch(patch)
    return source.state()
