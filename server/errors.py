"""Every refusal: one table from error to status and code, one form of answer (RFC 9457)."""

import logging
import secrets
from collections.abc import MutableMapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from pipeline.errors import ConfigError, NoRoom
from server.refusals import Refusals
from server.schema.service import Problem
from streams.errors import EngineAway, MalformedOffer, MediaAway, OfferRefused, SourceError

logger = logging.getLogger(__name__)

STATUS: dict[str, int] = {
    "malformed_json": 400,
    "malformed_sdp": 400,
    "bad_host": 400,
    "unauthorised": 401,
    "code_used": 401,
    "token_expired": 401,  # nosec B105 - a status
    "foreign_origin": 403,
    "output_off": 403,
    "target_not_allowed": 403,
    "source_not_allowed": 403,
    "viewer_only": 403,
    "not_found": 404,
    "method_not_allowed": 405,
    "no_trickle": 405,
    "unsupported_codec": 406,
    "too_slow": 408,
    "no_picture": 409,
    "not_live": 409,
    "no_source": 409,
    "not_a_file": 409,
    "no_reference": 409,
    "too_large": 413,
    "wrong_content_type": 415,
    "invalid": 422,
    "source_failed": 422,
    "too_many_pending": 429,
    "too_many_joins": 429,
    "too_fast": 429,
    "too_many_bad_tokens": 429,
    "too_many_connections": 429,
    "headers_too_large": 431,
    "internal": 500,
    "full": 503,
    "busy": 503,
    "loading": 503,
    "draining": 503,
    "engine_failed": 503,
    "client_not_built": 503,
    "engine_away": 503,
    "media_away": 503,
    "no_room": 507,
}


class ApiError(Exception):
    """A refusal with a code of STATUS, a sentence, and where it helps the seconds to wait."""

    def __init__(self, code: str, detail: str, retry_after: int | None = None) -> None:
        super().__init__(detail)
        self.code, self.detail, self.retry_after = code, detail, retry_after


def session_ended() -> ApiError:
    """Make the refusal of what was under way when its session ended."""
    return ApiError("not_found", "the session has ended")


def problem(
    code: str, detail: str, request_id: str, retry_after: int | None = None, status: int = 0
) -> JSONResponse:
    """Make the answer of a refusal."""
    status = status or STATUS[code]
    headers = {}
    if status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    if retry_after is not None:
        headers["Retry-After"] = str(retry_after)
    body = Problem(
        title=HTTPStatus(status).phrase,
        status=status,
        code=code,
        detail=detail,
        request_id=request_id,
    )
    return JSONResponse(body.model_dump(), status, headers, media_type="application/problem+json")


METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
# what players, pages and probes are told until they may, and ask again by themselves
_WAIT = ("loading", "draining", "not_live", "no_picture")


def refusal(
    scope: MutableMapping[str, Any],
    code: str,
    detail: str,
    retry_after: int | None = None,
    status: int = 0,
) -> JSONResponse:
    """Make the answer of a refused request, with an id that stands in the log.

    Strangers share one allowance of lines for each code, whatever they ask for, so that theirs
    are few; who has shown a token has one for each code and route.
    """
    refusals: Refusals = scope["app"].state.refusals
    method = scope["method"] if scope["method"] in METHODS else "other"
    # the template, not the path: what a stranger asks for may hold anything
    where = f"{method} {getattr(scope.get('route'), 'path', '-')}"
    said = code if code.isidentifier() else "unknown"  # a media process may have made it up
    status = status or STATUS[code]
    scope["request_id"] = refusals.note(
        f"{said} {where if scope.get('known') else ''}",
        f"{where} was refused with {status}: {said}",
        scope["request_id"],
        rarely=said in _WAIT,
    )
    return problem(code, detail, scope["request_id"], retry_after, status)


def code_of(error: ConfigError | EngineAway) -> str:
    """Give the code of a change that the engine refused."""
    if isinstance(error, EngineAway):
        return "engine_away"
    return "no_room" if isinstance(error, NoRoom) else "invalid"


def describe(errors: Sequence[Any]) -> str:
    """Say what was wrong with which field, what was given and what is allowed."""
    sentences = []
    for error in errors[:5]:
        where = ".".join(str(part) for part in error["loc"] if part not in ("body", "style_patch"))
        given = error.get("input")
        # an unknown key's value means nothing here, and may be a secret under a wrong name
        hidden = isinstance(given, dict | list) or error["type"] == "extra_forbidden"
        shown = "" if hidden else f" (given: {str(given)[:80]!r})"
        sentences.append(f"{where or 'body'}: {error['msg']}{shown}")
    return "; ".join(sentences)


def new_request_id() -> str:
    """Give an id that the answer and the log share."""
    return secrets.token_hex(8)


def install(app: FastAPI) -> None:
    """Turn every exception into its answer."""
    app.state.refusals = Refusals()

    @app.exception_handler(ApiError)
    async def _api(request: Request, error: ApiError) -> JSONResponse:
        return refusal(request.scope, error.code, error.detail, error.retry_after)

    @app.exception_handler(MalformedOffer)
    async def _malformed(request: Request, error: MalformedOffer) -> JSONResponse:
        return refusal(request.scope, "malformed_sdp", str(error))

    @app.exception_handler(SourceError)
    async def _source(request: Request, error: SourceError) -> JSONResponse:
        return refusal(request.scope, "source_failed", str(error))

    @app.exception_handler(OfferRefused)
    async def _refused(request: Request, error: OfferRefused) -> JSONResponse:
        return refusal(request.scope, error.code, error.detail, status=422)

    @app.exception_handler(MediaAway)
    async def _media(request: Request, error: MediaAway) -> JSONResponse:
        return refusal(request.scope, "media_away", str(error), retry_after=1)

    @app.exception_handler(ConfigError)
    @app.exception_handler(EngineAway)
    async def _engine(request: Request, error: ConfigError | EngineAway) -> JSONResponse:
        return refusal(request.scope, code_of(error), str(error))

    @app.exception_handler(ClientDisconnect)
    async def _left(request: Request, error: ClientDisconnect) -> JSONResponse:
        # nobody hears it; it is counted, and not as a fault of ours
        return refusal(request.scope, "too_slow", "the connection ended within the body")

    @app.exception_handler(RequestValidationError)
    async def _invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        errors = error.errors()
        if errors and errors[0]["type"] == "json_invalid":
            return refusal(request.scope, "malformed_json", "the body is not JSON")
        return refusal(request.scope, "invalid", describe(errors))

    @app.exception_handler(HTTPException)
    async def _http(request: Request, error: HTTPException) -> JSONResponse:
        codes = {
            404: "not_found",
            405: "method_not_allowed",
            413: "too_large",
            400: "malformed_json",
        }
        code = codes.get(error.status_code, "internal")
        answer = refusal(request.scope, code, str(error.detail), status=error.status_code)
        answer.headers.update(error.headers or {})
        return answer

    @app.exception_handler(Exception)
    async def _unforeseen(request: Request, error: Exception) -> JSONResponse:
        answer = refusal(request.scope, "internal", "something failed here; the log has more")
        its = request.scope["request_id"]
        logger.error("request %s failed", its, exc_info=error, extra={"request_id": its})
        return answer
