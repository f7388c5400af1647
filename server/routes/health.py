"""Probes for process supervisors: a status, nothing more, no token."""

from fastapi import APIRouter, Response

from server.routes.context import Here

router = APIRouter(tags=["health"])


@router.get("/healthz", response_class=Response)
async def alive() -> Response:
    """200 while the process serves."""
    return Response()


@router.get("/readyz", response_class=Response)
async def ready(here: Here) -> Response:
    """200 when a session can be served, 503 while loading and draining."""
    return Response(status_code=200 if here.sessions.ready and here.media.ready else 503)
