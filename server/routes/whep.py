"""WHEP (draft-ietf-wish-whep): players watch a session here, all from one encode."""

from fastapi import APIRouter, Request, Response

from server.errors import ApiError
from server.routes.context import Here, Watched
from server.routes.signalling import (
    SdpAnswer,
    codec_refusal,
    describe_endpoint,
    refuse_patch,
    sdp_answer,
    sdp_offer,
)

router = APIRouter(prefix="/whep", tags=["whep"])


@router.post("/{id}", status_code=201, response_class=SdpAnswer)
async def watch(request: Request, session: Watched, here: Here) -> Response:
    """Answer a player's offer with the restyled picture."""
    offer = await sdp_offer(request)
    if session.phase != "live":
        raise ApiError("not_live", f"the stream is {session.phase}; try again", 2)
    with codec_refusal():
        viewer, sdp = await session.viewers.join(offer)
    return sdp_answer(sdp, f"/whep/{session.id}/{viewer}", here.settings.ice_servers)


@router.options("/{id}")
async def options(id: str) -> Response:
    """Say what may be posted."""
    return describe_endpoint()


@router.get("/{id}", status_code=204)
async def nothing(id: str) -> None:
    """Give no content; says nothing of whether there is such a session."""


@router.patch("/{id}/{viewer}", status_code=405)
async def trickle(request: Request, session: Watched, viewer: str) -> None:
    """Refuse trickle ICE and ICE restarts."""
    refuse_patch(request)


@router.delete("/{id}/{viewer}")
async def end(session: Watched, viewer: str) -> None:
    """End a viewer."""
    session.viewers.end(viewer)
