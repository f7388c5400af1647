"""WHEP (draft-ietf-wish-whep): players watch a session here, all from one encode."""

from fastapi import APIRouter, Request, Response

from server.errors import ApiError
from server.routes.context import Here, Watched
from server.routes.signalling import (
    SdpAnswer,
    codec_refusal,
    describe_endpoint,
    describe_resource,
    refuse_patch,
    sdp_answer,
    sdp_offer,
)
from server.schema.sessions import IceServer
from server.turn import ice_servers

router = APIRouter(prefix="/whep", tags=["whep"])


@router.post("/{id}", status_code=201, response_class=SdpAnswer)
async def watch(request: Request, session: Watched, here: Here) -> Response:
    """Answer a player's offer with the restyled picture."""
    offer = await sdp_offer(request)
    if session.phase != "live":
        raise ApiError("not_live", f"the stream is {session.phase}; try again", 2)
    with codec_refusal():
        viewer, sdp = await session.viewers.join(offer)
    return sdp_answer(sdp, f"/whep/{session.id}/{viewer}", ice_servers(here.settings))


@router.options("/{id}")
async def options(id: str) -> Response:
    """Say what may be posted."""
    return describe_endpoint("GET, HEAD, OPTIONS, POST")


@router.head("/{id}", include_in_schema=False, response_class=SdpAnswer)
async def content_type(id: str) -> Response:
    """Say what is spoken here, as the draft has it; nothing of whether there is such a session."""
    return SdpAnswer()


@router.options("/{id}/relays", include_in_schema=False)
async def relays_options(id: str) -> Response:
    """Let pages of configured origins ask."""
    return describe_resource("GET, OPTIONS")


@router.get("/{id}/relays")
async def relays(session: Watched, here: Here) -> list[IceServer]:
    """Give what a player may connect by, before it makes its offer; in the 201 it comes too late
    for browsers, which gather their addresses first.
    """
    return ice_servers(here.settings)


@router.get("/{id}", status_code=204)
async def nothing(id: str) -> None:
    """Give no content; says nothing of whether there is such a session."""


@router.options("/{id}/{viewer}", include_in_schema=False)
async def viewer_options(id: str, viewer: str) -> Response:
    """Let pages of configured origins go on; says nothing of whether there is such a viewer."""
    return describe_resource("DELETE, OPTIONS, PATCH")


@router.patch("/{id}/{viewer}", status_code=405)
async def trickle(request: Request, session: Watched, viewer: str) -> None:
    """Refuse trickle ICE and ICE restarts."""
    refuse_patch(request)


@router.delete("/{id}/{viewer}")
async def end(session: Watched, viewer: str) -> None:
    """End a viewer."""
    session.viewers.end(viewer)
