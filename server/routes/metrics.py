"""Figures for a Prometheus server."""

from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST

from server.metrics import exposition
from server.routes.context import Here, OwnerOnly

router = APIRouter(tags=["metrics"])


@router.get("/metrics", dependencies=[OwnerOnly], response_class=Response, include_in_schema=False)
async def metrics(request: Request, here: Here) -> Response:
    """Give figures in Prometheus's text format; wants the main token."""
    return Response(exposition(here, request.app.state.answers), media_type=CONTENT_TYPE_LATEST)
