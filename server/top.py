"""`restyle top`: the sessions of a running server, live in a terminal or once as JSON."""

import json
import sys
import time
from typing import Any

from server.asking import Asking, AskingError

_HOME, _CLEAR_LINE, _CLEAR_BELOW = "\x1b[H", "\x1b[K", "\x1b[J"
_STAGES = ("wait", "encode", "unet", "decode")
_HEAD = ("SESSION", "STATE", "IN/s", "OUT/s", "AGE p50", "p95", "DROPPED", "SKIPPED", *_STAGES)


def top(server: Asking, every: float, once: bool, as_json: bool) -> int:
    """Show until Ctrl-C, or once. Raises AskingError."""
    if not 0.2 <= every <= 60:
        raise AskingError(f"--every {every}: 0.2 to 60 seconds")
    while True:
        found = {path: server.get(path) for path in ("info", "sessions")}
        if as_json:
            print(json.dumps(found), flush=True)
        else:
            _draw(table(server.url, found), once)
        if once:
            return 0
        time.sleep(every)


def table(base: str, found: dict[str, Any]) -> list[str]:
    """Lay the figures out, a line a session."""
    info, sessions = found["info"], found["sessions"]["sessions"]
    head = (
        f"{base}  {info['model']} on {info['backend']}/{info['device']}  "
        f"{len(sessions)} of {info['slots']} places  loop p99 {info['loop_lag_p99_ms']:.1f} ms"
    )
    rows = [_HEAD, *(_row(session) for session in sessions)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEAD))]
    lines = [
        "  ".join(
            cell.ljust(width) if column < 2 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
    return [head, "", *lines, *(() if sessions else ("no session is open",))]


def _row(session: dict[str, Any]) -> tuple[str, ...]:
    stats = session["stats"]
    ages = (stats["age_ms"]["p50"], stats["age_ms"]["p95"])
    stages = (stats["stages_ms"].get(stage) for stage in _STAGES)
    return (
        session["id"][:8],
        _state(session),
        f"{stats['fps_in']:.1f}",
        f"{stats['fps_out']:.1f}",
        *(_ms(age) for age in ages),
        str(stats["dropped"]),
        str(stats["skipped"]),
        *(_ms(stage) for stage in stages),
    )


def _state(session: dict[str, Any]) -> str:
    """Say what a session is doing, or why pictures that flow are untouched."""
    untouched = session["state"] == "live" and session["engine"] != "running"
    return str(session["engine"] if untouched else session["state"])


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"


def _draw(lines: list[str], once: bool) -> None:
    if once or not sys.stdout.isatty():
        print("\n".join(lines), flush=True)
        return
    drawn = f"{_CLEAR_LINE}\n".join(lines)
    print(f"{_HOME}{drawn}{_CLEAR_LINE}\n{_CLEAR_BELOW}", end="", flush=True)
