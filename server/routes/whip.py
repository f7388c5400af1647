"""WHIP (RFC 9725): OBS and others publish here; what they make is a session like any other."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

from fastapi import APIRouter, Request, Response
from pydantic import ValidationError

from server.auth import address
from server.errors import ApiError, describe
from server.routes.context import Here, Owned, OwnerOnly
from server.routes.signalling import (
    SdpAnswer,
    codec_refusal,
    describe_endpoint,
    describe_resource,
    refuse_patch,
    sdp_answer,
    sdp_offer,
)
from server.schema.message import Message, Name
from server.schema.style import StylePatch
from server.turn import ice_servers
from streams.errors import StreamError

router = APIRouter(prefix="/whip", tags=["whip"])

_ANSWER_IN = 7.0  # seconds: OBS gives up after 8, and would leave a place taken that it never uses
_RETRY = 3  # seconds that a refused publisher should wait


# typed by hand, an address often ends with a slash
@router.post("/", include_in_schema=False, status_code=201, dependencies=[OwnerOnly])
@router.post("", status_code=201, dependencies=[OwnerOnly], response_class=SdpAnswer)
async def publish(request: Request, here: Here) -> Response:
    """Answer a publisher's offer. The query names style values: ?prompt=ink&strength=0.6, and a
    name under which the stream is watched each time: ?name=desk.
    """
    with _refusals_told(request), codec_refusal():
        style, name = _values(request)
        offer = await sdp_offer(request)
        if name is not None:
            here.sessions.take_over(name)
        async with _in_time(here.settings.setup_s):
            session, sdp = await here.sessions.create(
                offer, style, address(request), sends=False, identity=here.identity(name)
            )
    place = session.name or session.id
    watch = f"{here.settings.url}/overlay/{place}#token={session.viewer_token}"
    request.app.state.say(f"A stream came in. Watch it at {watch}")
    return sdp_answer(sdp, f"/whip/{session.id}", ice_servers(here.settings))


@router.options("/", include_in_schema=False)
@router.options("")
async def options() -> Response:
    """Say what may be posted."""
    return describe_endpoint("GET, OPTIONS, POST")


@router.get("", status_code=204)
async def nothing() -> None:
    """Give no content, as the RFC has it."""


@router.options("/{id}", include_in_schema=False)
async def resource_options(id: str) -> Response:
    """Let pages of configured origins go on; says nothing of whether there is such a session."""
    return describe_resource("DELETE, OPTIONS, PATCH")


@router.patch("/{id}", status_code=405)
async def trickle(request: Request, session: Owned) -> None:
    """Refuse trickle ICE and ICE restarts."""
    refuse_patch(request)


@router.delete("/{id}")
async def end(session: Owned, here: Here) -> None:
    """End the session."""
    here.sessions.end(session, "deleted")


@asynccontextmanager
async def _in_time(setup_s: float) -> AsyncIterator[None]:
    """End what a publisher would no longer wait for. Raises ApiError 503; nothing is left then."""
    try:
        async with asyncio.timeout(min(setup_s, _ANSWER_IN)):
            yield
    except TimeoutError as error:
        raise ApiError("busy", "no answer to the offer in time", _RETRY) from error


@contextmanager
def _refusals_told(request: Request) -> Iterator[None]:
    """Say in the terminal why a stream was refused: OBS shows its user no reason at all."""
    try:
        yield
    except ApiError as error:
        # what is wrong with a value would quote it, and it may be a prompt
        why = "a value of the address's query" if error.code == "invalid" else str(error)
        request.app.state.say(f"A stream was refused: {why}")
        raise
    except StreamError as error:
        request.app.state.say(f"A stream was refused: {error}")
        raise


class _Named(Message):
    name: Name | None = None


def _values(request: Request) -> tuple[StylePatch, str | None]:
    """Read style values and the name from the query. Raises ApiError 422."""
    given = request.query_params
    twice = sorted(name for name in set(given) if len(given.getlist(name)) > 1)
    if twice:
        raise ApiError("invalid", f"{', '.join(twice)}: given more than once")
    values = dict(given)
    name = {"name": values.pop("name")} if "name" in values else {}
    try:
        return StylePatch.model_validate_strings(values), _Named(**name).name
    except ValidationError as error:
        raise ApiError("invalid", describe(error.errors())) from error
