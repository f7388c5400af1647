"""Outputs of a session: start, look, end; and a snapshot of its newest picture."""

import asyncio
from typing import Literal

from fastapi import APIRouter, Response

from server.errors import ApiError
from server.routes.context import Owned
from server.schema.outputs import NewOutput, OutputList, OutputState
from streams.convert import to_image_file
from streams.matte import to_cut_out

router = APIRouter(prefix="/api/sessions/{id}", tags=["outputs"])


@router.get("/outputs")
async def list_all(session: Owned) -> OutputList:
    """List a session's outputs with their live figures, and what may be started."""
    return OutputList(outputs=session.outputs.states(), kinds=session.outputs.kinds())


@router.post("/outputs", status_code=201)
async def start(wanted: NewOutput, session: Owned, response: Response) -> OutputState:
    """Begin an output. It opens by itself: its state tells whether that worked."""
    begun = session.outputs.start(wanted, session.control.sizing.size)
    response.headers["Location"] = f"/api/sessions/{session.id}/outputs/{begun.id}"
    return begun


@router.delete("/outputs/{output}")
async def end(session: Owned, output: str) -> OutputState:
    """End an output and give its last state; a recording is whole then."""
    return await session.outputs.end(output)


@router.get("/snapshot", response_class=Response)
async def snapshot(session: Owned, format: Literal["png", "jpeg"] = "png") -> Response:
    """Give the newest restyled picture as an image file. Answers 409 while there is none.

    With a matte, PNG is transparent and JPEG has black instead.
    """
    newest = session.newest
    if newest is None:
        raise ApiError("no_picture", "no picture was restyled yet; try again", 1)
    write = to_cut_out if newest.paired else to_image_file
    image = await asyncio.to_thread(write, newest.picture, format)
    return Response(image, media_type=f"image/{format}")
