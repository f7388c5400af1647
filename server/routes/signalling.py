"""What WHIP and WHEP share: SDP in and out, ICE servers as Link headers, codecs."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from fastapi import Request, Response

from server.cross_origin import FRAGMENT, SDP
from server.errors import ApiError
from server.schema.sessions import IceServer
from streams.errors import MalformedOffer, OfferRefused

_LONGEST = 65536  # characters, as of an offer in JSON


class SdpAnswer(Response):
    """A body of SDP."""

    media_type = SDP


async def sdp_offer(request: Request) -> str:
    """Read the offer. Raises ApiError 415 or MalformedOffer."""
    kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if kind != SDP:
        raise ApiError("wrong_content_type", f"send {SDP} (given: {kind[:80]!r})")
    try:
        offer = (await request.body()).decode()
    except UnicodeDecodeError as error:
        raise MalformedOffer("the offer is no UTF-8") from error
    if len(offer) > _LONGEST:
        raise ApiError("too_large", f"an offer of {len(offer)} characters; {_LONGEST} fit")
    return offer


@contextmanager
def codec_refusal() -> Iterator[None]:
    """Answer an offer without a codec in common with 406, as players of WHIP and WHEP expect."""
    try:
        yield
    except OfferRefused as error:
        if error.code != "no_codec":
            raise
        raise ApiError("unsupported_codec", error.detail) from error


def sdp_answer(sdp: str, location: str, ice_servers: Sequence[IceServer]) -> SdpAnswer:
    """Make the 201."""
    answer = SdpAnswer(sdp, 201, {"Location": location})
    for link in _links(ice_servers):
        answer.headers.append("Link", link)
    return answer


def describe_endpoint(allowed: str) -> Response:
    """Answer OPTIONS: what may be posted. A preflight's CORS headers come from the guard."""
    return Response(headers={"Accept-Post": SDP, "Allow": allowed})


def describe_resource(allowed: str) -> Response:
    """Answer OPTIONS of what an offer made: browsers ask before they DELETE from another origin."""
    return Response(headers={"Allow": allowed})


def refuse_patch(request: Request) -> None:
    """Refuse every PATCH: aiortc can neither restart ICE nor use what trickles in.

    RFC 9725 section 4.3 asks for 405 then, and for no ETag in the answer to the offer. A client
    goes on without: its address is learnt from its own connectivity checks. Raises ApiError.
    """
    kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if kind != FRAGMENT:
        raise ApiError("wrong_content_type", f"send {FRAGMENT} (given: {kind[:80]!r})")
    raise ApiError("no_trickle", "neither trickle ICE nor ICE restarts are served")


def _links(ice_servers: Sequence[IceServer]) -> Iterator[str]:
    for server in ice_servers:
        for url in server.urls:
            link = f'<{url}>; rel="ice-server"'
            if server.username is not None and server.credential is not None:
                link += (
                    f"; username={_quoted(server.username)}"
                    f'; credential={_quoted(server.credential)}; credential-type="password"'
                )
            yield link


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
