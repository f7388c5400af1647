"""ASGI middleware round everything: a request's id, its line in the log, its place in a count."""

import logging
import time
from collections import Counter
from collections.abc import MutableMapping
from typing import Any

from server.errors import METHODS, new_request_id
from server.guard import App, Receive, Scope, Send
from server.logs import of_request

logger = logging.getLogger(__name__)

Answers = Counter[tuple[str, int]]  # (method, status): how often


class Access:
    """Logs method, route and status; never a query or body. `answers` counts them."""

    def __init__(self, app: App, answers: Answers) -> None:
        self._app, self._answers = app, answers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on; note how it was answered."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = scope["request_id"] = new_request_id()
        began = time.monotonic()

        async def note(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                self._note(scope, message["status"], time.monotonic() - began)
            await send(message)

        with of_request(request_id):
            try:
                await self._app(scope, receive, note)
            except Exception:
                self._note(scope, 500, time.monotonic() - began)  # answered outside of here
                raise

    def _note(self, scope: Scope, status: int, seconds: float) -> None:
        method = scope["method"] if scope["method"] in METHODS else "other"
        self._answers[method, status] += 1
        # the template, not the path: what a stranger asks for may hold anything
        route = getattr(scope.get("route"), "path", "-")
        level = logging.WARNING if status >= 500 and status != 503 else logging.INFO
        logger.log(level, "%s %s answered %d after %.0f ms", method, route, status, seconds * 1000)
