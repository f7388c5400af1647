"""The engine itself: starting it once more after it was given up."""

from fastapi import APIRouter

from server.routes.context import Here, OwnerOnly

router = APIRouter(prefix="/api/engine", tags=["engine"])


@router.post("/restart", status_code=204, dependencies=[OwnerOnly])
async def restart(here: Here) -> None:
    """Start the engine's process again after too many losses; else nothing happens."""
    here.worker.revive()
