"""Sessions whose pictures come from this machine or its network: nobody needs to hold a camera."""

from fastapi import APIRouter, Request, Response

from server.auth import address
from server.routes.context import Here, OwnerOnly
from server.schema import SessionMade, SourceOffer, Style
from server.sources import allowed

router = APIRouter(prefix="/api/sources", tags=["sources"])


@router.post("", status_code=201, dependencies=[OwnerOnly])
async def open_source(
    offer: SourceOffer, request: Request, response: Response, here: Here
) -> SessionMade:
    """Make a session of a file, an image, an address or a device that the settings allow."""
    place = allowed(here.settings, offer.kind, offer.at)
    style = offer.style.apply(Style())
    session = await here.sessions.create_from(place, style, address(request))
    response.headers["Location"] = f"/api/sessions/{session.id}"
    return SessionMade(
        id=session.id, token=session.token, viewer_token=session.viewer_token, style=style,
        hint=session.control.hint,
    )  # fmt: skip
