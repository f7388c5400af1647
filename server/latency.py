"""`restyle bench latency`: from a picture drawn in Chromium to the same one shown there again.

A page (latency.js) draws numbered pictures, sends them as its camera to a running server, and reads
the number of each that comes back when the browser is about to show it. All times are of one clock,
the page's, so nothing has to be set right between machines.
"""

import asyncio
import json
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

from server.asking import Asking, AskingError
from server.chromium import chromium

_SCRIPT = Path(__file__).with_name("latency.js")
_SIDE, _SETTLE = 512, 4.0  # pixels; seconds until bitrates have settled
# an empty prompt runs the whole model and leaves the numbers readable
_STYLES: dict[str, dict[str, object]] = {"bypass": {"bypass": True}, "styled": {"prompt": ""}}
_MODEL = ("encode", "unet", "decode")
_CONVERT = ("convert_in", "convert_out")


def bench_latency(
    server: Asking, seconds: float, browser: str | None, say: Callable[[str], None]
) -> int:
    """Measure and print. Raises AskingError, NoBrowser."""
    if not 1 <= seconds <= 600:
        raise AskingError(f"--seconds {seconds:g}: 1 to 600")
    info = server.get("info")
    of = {name: info[name] for name in ("version", "model", "backend", "device")}
    figures = {"server": server.url} | of | asyncio.run(measure(server, seconds, browser, say))
    print(json.dumps(figures, indent=2))
    return 0


async def measure(
    server: Asking, seconds: float, path: str | None, say: Callable[[str], None]
) -> dict[str, Any]:
    """Give figures of 512 × 512 at 30 fps, untouched and through the model, so long each.

    `path` is the Chromium's, None: the first found. Raises NoBrowser, or AskingError when the
    server lets no session in.
    """
    figures: dict[str, Any] = {}
    script = await asyncio.to_thread(_SCRIPT.read_text)
    for name, style in _STYLES.items():
        say(f"glass to glass, {name}")
        async with chromium(path) as browser:
            page = await browser.new_page()
            await page.goto(f"{server.url}/healthz")  # the same origin, and nothing of our page
            begun = await page.evaluate(script, [server.token, style, _SIDE])
            if "refused" in begun:
                raise AskingError(f"{server.url} lets no session in: {begun['refused']}")
            await page.wait_for_timeout(1000 * _SETTLE)
            await page.evaluate("window.measured.restart()")
            await page.wait_for_timeout(1000 * seconds)
            came = await page.evaluate("window.measured.stop()")
            state = await asyncio.to_thread(server.get, f"sessions/{begun['id']}")
            await page.evaluate("window.measured.end()")
        figures[name] = {"fps_shown": round(len(came["shown"]) / seconds, 1)}
        figures[name] |= split(came["shown"], came["means"], state["stats"])
    return figures


def split(
    shown: list[list[float]], means: dict[str, float], stats: dict[str, Any]
) -> dict[str, Any]:
    """Say where the time went, in milliseconds: percentiles of a way, and means of its parts.

    `shown`: of each picture when it was drawn, was back (its last packet) and was displayed.
    `means`: of the browser's encoder, buffer and decoder, and the way there and back.
    `stats`: the session's, of its last five seconds.
    """
    stages: dict[str, float] = stats["stages_ms"]
    away = [back - drawn for drawn, back, _ in shown]
    parts = {
        "browser_encode": means["encode"],
        "network_both_ways": means["round_trip"],
        "server": stats["age_ms"]["p50"] or 0.0,  # from its decoder to its encoder
    }
    known = sum(parts.values())
    # the wait for the camera's next picture, the server's decoder and encoder
    parts["capture_and_server_codecs"] = max(0.0, statistics.median(away or [known]) - known)
    server = {
        "queue": stages.get("wait", 0.0),
        "convert": sum(stages.get(stage, 0.0) for stage in _CONVERT),
        "model": sum(stages.get(stage, 0.0) for stage in _MODEL),
    }
    browser = {"browser_buffer": means["buffer"], "browser_decode": means["decode"]}
    return {
        "glass_to_glass_ms": quantiles([displayed - drawn for drawn, _, displayed in shown]),
        "drawn_to_back_ms": quantiles(away) | _rounded(parts),
        "server_ms": stats["age_ms"] | _rounded(server),
        "back_to_shown_ms": quantiles([displayed - back for _, back, displayed in shown])
        | _rounded(browser),
    }


def _rounded(figures: dict[str, float]) -> dict[str, float]:
    return {name: round(value, 1) for name, value in figures.items()}


def quantiles(values: list[float]) -> dict[str, float]:
    """Give p50 and p95; nothing of nothing."""
    ordered = sorted(values)
    if not ordered:
        return {}
    return {f"p{p}": round(ordered[int(p / 100 * (len(ordered) - 1))], 1) for p in (50, 95)}
