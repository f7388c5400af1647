"""What serves here, and the exchange of a link's code for the token."""

import asyncio
import base64
from pathlib import Path

from fastapi import APIRouter, Request

from pipeline.results import EngineInfo
from server.auth import address, issue
from server.errors import ApiError
from server.loading import engine_of
from server.routes.context import Here, OwnerOnly
from server.schema.service import Code, Info, Preset, Token
from server.schema.style import Style
from server.style_limits import noises
from server.turn import ice_servers
from server.version import VERSION

router = APIRouter(prefix="/api", tags=["info"])


@router.get("/info", dependencies=[OwnerOnly])
async def info(here: Here) -> Info:
    """Describe the engine, its presets, its slots. Answers 503 while the model loads."""
    engine = engine_of(here.worker)
    return Info(
        version=VERSION,
        model=engine.model,
        device=engine.device,
        backend=engine.backend,
        width=engine.width,
        height=engine.height,
        size_step=engine.size_step,
        slots=here.sessions.slots,
        sessions=len(here.sessions),
        presets=await asyncio.to_thread(_presets, engine),
        reference=engine.reference is not None,
        defaults=Style(),
        noises=list(noises(here.settings)),
        ice_servers=ice_servers(here.settings),
        loop_lag_p99_ms=max(here.loop_lag.p99_ms(), here.media.lag_p99_ms()),
    )


@router.post("/token")
async def token(code: Code, request: Request, here: Here) -> Token:
    """Exchange the one-time code of a printed link for a token that ends after `token_s`."""
    here.guesses.check(address(request))
    if here.codes.use(code.code):
        return Token(token=issue(here.token, here.settings.token_s))
    here.guesses.wrong(address(request))
    request.app.state.print_link()
    raise ApiError("code_used", "this link was used or is too old; the terminal shows a new one")


def _presets(engine: EngineInfo) -> list[Preset]:
    return [
        Preset(
            name=preset.name,
            prompt=preset.prompt,
            examples=list(preset.examples),
            thumbnail=_data_url(preset.thumbnail) if preset.thumbnail else None,
        )
        for preset in engine.presets
    ]


def _data_url(picture: Path) -> str:
    return "data:image/webp;base64," + base64.b64encode(picture.read_bytes()).decode()
