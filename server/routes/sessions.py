"""Sessions: make one with an offer, look, restyle, end."""

from dataclasses import replace

from fastapi import APIRouter, Request, Response

from server.auth import address
from server.routes.context import Here, Owned, OwnerOnly
from server.schema.sessions import (
    Answer,
    MatteChange,
    MatteInForce,
    NameChange,
    NameInForce,
    Offer,
    PictureSize,
    SessionList,
    SessionState,
    SizeInForce,
    SoundChange,
)
from server.schema.style import StyleInForce, StylePatch
from server.turn import ice_servers

router = APIRouter(prefix="/api/sessions", tags=["sessions"])


@router.post("", status_code=201, dependencies=[OwnerOnly])
async def create(offer: Offer, request: Request, response: Response, here: Here) -> Answer:
    """Answer an offer with a video track and a data channel `control`."""
    session, sdp = await here.sessions.create(
        offer.sdp,
        offer.style,
        address(request),
        resume=offer.resume,
        matte=offer.matte,
        identity=here.identity(offer.name),
    )
    response.headers["Location"] = f"/api/sessions/{session.id}"
    return Answer(
        id=session.id,
        name=session.name,
        token=session.token,
        viewer_token=session.viewer_token,
        resume=session.identity.resume,
        sdp=sdp,
        ice_servers=ice_servers(here.settings),
        style=session.control.style,
        hint=session.control.hint,
    )


@router.get("", dependencies=[OwnerOnly])
async def list_all(here: Here) -> SessionList:
    """List every session with its live figures."""
    return SessionList(sessions=[session.state() for session in here.sessions])


@router.get("/{id}")
async def look(session: Owned) -> SessionState:
    """Give a session's state and live figures."""
    return session.state()


@router.patch("/{id}")
async def restyle(patch: StylePatch, session: Owned) -> StyleInForce:
    """Change style values; those left out stay."""
    style, frame = await session.change_from_elsewhere(patch)
    return StyleInForce(style=style, frame=frame, hint=session.control.hint)


# the main token alone: a name's viewer token holds for later sessions, too
@router.put("/{id}/name", dependencies=[OwnerOnly])
async def name(change: NameChange, session: Owned, here: Here) -> NameInForce:
    """Give a session another name, or none; who watches already goes on watching."""
    other = here.identity(change.name)
    session.identity = replace(session.identity, name=other.name, viewer_token=other.viewer_token)
    return NameInForce(name=session.name, viewer_token=session.viewer_token)


@router.put("/{id}/size")
async def resize(size: PictureSize, session: Owned) -> SizeInForce:
    """Change the picture's size; answers once it is warm, the old one serves until then."""
    (width, height), frame = await session.control.sizing.change((size.width, size.height))
    return SizeInForce(width=width, height=height, frame=frame)


@router.put("/{id}/matte")
async def pair(change: MatteChange, session: Owned) -> MatteInForce:
    """Say whether the pictures that come in carry a matte beside their colour."""
    return MatteInForce(matte=change.matte, frame=session.control.change_matte(change.matte))


@router.put("/{id}/sound")
async def mute(sound: SoundChange, session: Owned) -> SessionState:
    """Let the session's sound pass on, or not."""
    session.room.sound.muted = sound.muted
    return session.state()


@router.delete("/{id}")
async def end(session: Owned, here: Here) -> None:
    """End a session; its place is free at once."""
    here.sessions.end(session, "deleted")
