"""What a line of the log looks like: who it belongs to, and what never stands in it.

No prompt, no SDP, no token: records name sessions and requests by their ids only. The text of an
exception may quote any of them, so it appears at level debug alone; where it happened and what
kind it was always does.
"""

import json
import logging
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Literal, TextIO

LogFormat = Literal["text", "json"]
_request: ContextVar[str] = ContextVar("request", default="")
_session: ContextVar[str] = ContextVar("session", default="")
_QUIET = ("aiortc", "aioice", "asyncio", "multipart", "h11")  # their debug lines hold packets, SDP


def set_up(level: str, form: LogFormat, stream: TextIO | None = None) -> logging.Handler:
    """Send every record to one handler, on standard error unless told otherwise; give it."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(_Formatter(form, with_text=level == "debug"))
    handler.addFilter(_OncePerSecond())
    root = logging.getLogger()
    for old in list(root.handlers):
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(level.upper())
    for name in _QUIET:
        logging.getLogger(name).setLevel(max(logging.INFO, root.level))
    return handler


@contextmanager
def of_request(request_id: str) -> Iterator[None]:
    """Mark what is logged in the block, and in tasks begun there, as this request's."""
    mark, session = _request.set(request_id), _session.set("")
    try:
        yield
    finally:
        _request.reset(mark)
        _session.reset(session)


def of_session(session: str) -> None:
    """Mark what is logged from here on, in this task and those it begins, as this session's."""
    _session.set(session)


class _Formatter(logging.Formatter):
    def __init__(self, form: LogFormat, with_text: bool) -> None:
        super().__init__()
        self._form, self._with_text = form, with_text

    def format(self, record: logging.LogRecord) -> str:
        fields = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
            + f".{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            "request_id": getattr(record, "request_id", "") or _request.get(),
            "session": getattr(record, "session", "") or _session.get(),
        }
        again = getattr(record, "again", 0)
        if again:
            fields["repeated"] = again
        if record.exc_info and record.exc_info[1] is not None:
            fields["exception"] = self._describe(record.exc_info[1])
        if self._form == "json":
            return json.dumps({name: value for name, value in fields.items() if value})
        ids = " ".join(
            f"{name}={fields[name]}" for name in ("request_id", "session") if fields[name]
        )
        line = f"{record.levelname} {record.name}: {fields['message']}"
        more = f" [{ids}]" if ids else ""
        more += f" (and {again} more like it)" if again else ""
        return line + more + (f"\n{fields['exception']}" if "exception" in fields else "")

    def _describe(self, error: BaseException) -> str:
        where = "".join(traceback.format_list(traceback.extract_tb(error.__traceback__)))
        text = f": {error}" if self._with_text else ""
        cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
        before = f"{self._describe(cause)}\nled to\n" if cause is not None else ""
        return f"{before}{where}{type(error).__name__}{text}"


class _OncePerSecond(logging.Filter):
    """Lets a warning through once a second and counts the others; the next one says how many."""

    _MOST = 500  # kinds of lines remembered

    def __init__(self) -> None:
        super().__init__()
        self._last: dict[tuple[str, str], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno < logging.WARNING:
            return True
        counted = getattr(record, "repeated", None)
        if counted is not None:  # its sender sees to that: server/refusals.py
            record.again = counted
            return True
        kind = (record.name, str(record.msg))
        at, again = self._last.get(kind, (-1.0, 0))
        if record.created - at < 1:
            self._last[kind] = (at, again + 1)
            return False
        if len(self._last) >= self._MOST:
            self._last.clear()
        record.again = again
        self._last[kind] = (record.created, 0)
        return True
