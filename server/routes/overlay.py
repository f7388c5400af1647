"""The page for OBS's Browser Source: the picture of one session and nothing else."""

from pathlib import Path

from fastapi import APIRouter
from fastapi.responses import FileResponse

router = APIRouter(tags=["overlay"], include_in_schema=False)
_FILES = Path(__file__).parents[1] / "overlay"


@router.get("/overlay/pair.js")
async def shader() -> FileResponse:
    """Give what takes pictures and their mattes apart; the page is built with it too."""
    return FileResponse(_FILES / "pair.js", media_type="text/javascript")


@router.get("/overlay/{id}")
async def page(id: str) -> FileResponse:
    """Give the page; it holds no secret, its token stands in the fragment."""
    return FileResponse(_FILES / "overlay.html", media_type="text/html")


@router.get("/overlay.js")
async def script() -> FileResponse:
    """Give the page's script: the policy allows none inside the page."""
    return FileResponse(_FILES / "overlay.js", media_type="text/javascript")


@router.get("/overlay.css")
async def look() -> FileResponse:
    """Give the page's look."""
    return FileResponse(_FILES / "overlay.css", media_type="text/css")
