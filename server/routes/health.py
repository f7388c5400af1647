"""Probes for process supervisors: a status, nothing more, no token."""

from fastapi import APIRouter, Response

from server.routes.context import Here

router = APIRouter(tags=["health"])


@router.head("/healthz", response_class=Response, include_in_schema=False)
@router.get("/healthz", response_class=Response)
async def alive() -> Response:
    """200 while the process serves."""
    return Response()


@router.head("/readyz", response_class=Response, include_in_schema=False)
@router.get("/readyz", response_class=Response)
async def ready(here: Here) -> Response:
    """200 when a session can be served, 503 while loading and draining."""
    return Response(status_code=200 if here.sessions.ready and here.media.ready else 503)
