"""G3 and G4: one session over emulated links. Each case says what it saw against its limits."""

import itertools
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.e2e.serving import ROOT, Server, free_port
from tests.reliability.far_side import STYLE
from tests.reliability.link import SERVER, Impairment, Network, network

_FREEZE = 0.2  # seconds without a picture that an eye calls a freeze
_BEFORE, _AFTER = 4.0, 12.0  # seconds of clean link round an outage
LIGHT = "tests.reliability.light_server"
CLEAN = Impairment()
Far = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Loss:
    """A link that is bad all the time, and what is promised on it (reliability G3)."""

    link: Impairment
    frozen: float  # share of the time
    longest: float  # seconds
    connects: float = 8.0


@dataclass(frozen=True, slots=True)
class Outage:
    """A link that is cut, or a client that moves, and when the picture is back (G4)."""

    seconds: float
    back: float  # seconds after the link is
    moves: bool = False


CASES: dict[str, Loss | Outage] = {
    "clean": Loss(CLEAN, 0.02, 0.5),
    "loss 1 %": Loss(Impairment(loss=0.01), 0.02, 0.5),
    "loss 5 %": Loss(Impairment(loss=0.05), 0.15, 1.5),
    "loss 10 %": Loss(Impairment(loss=0.10), 0.25, 2.0),
    "loss 20 %": Loss(Impairment(loss=0.20), 0.40, 3.0),
    "loss 5 % in bursts of 5": Loss(Impairment(loss=0.05, burst=5), 0.25, 2.0),
    "50 ± 20 ms and reordering": Loss(
        Impairment(delay=0.05, jitter=0.02, reorders=True), 0.15, 1.5
    ),
    "500 kbit/s": Loss(Impairment(rate=500e3), 0.25, 2.0),
    "outage of 5 s": Outage(5, 3),
    "outage of 15 s": Outage(15, 5),
    "outage of 40 s": Outage(40, 5),
    "another address": Outage(0, 5, moves=True),
}


def run(seconds: float, state: Path, names: list[str]) -> tuple[Far, dict[str, bool]]:
    """Run the cases of these names; `seconds` is the length of those that are bad all the time."""
    figures, limits = {}, {}
    with network() as net, _server(net, state) as server:
        for name in names:
            case = CASES[name]
            if isinstance(case, Loss):
                figures[name], kept = _lossy(net, server, case, seconds)
            else:
                figures[name], kept = _cut(net, server, case)
            limits |= {f"{name}: {what}": good for what, good in kept.items()}
            print(f"{name}: {json.dumps(figures[name] | {'timeline': None})}", file=sys.stderr)
    return figures, limits


def _lossy(
    net: Network, server: "_Apart", case: Loss, seconds: float
) -> tuple[Far, dict[str, bool]]:
    net.link.impair(case.link)
    net.link.counts.clear()
    far = _far(net, server, seconds)
    net.link.impair(CLEAN)
    figures = _describe(far)
    dose = net.link.counts["lost"] / max(1, net.link.counts["udp"])
    figures["lost_percent"] = round(100 * dose, 1)
    figures["overflowed"] = net.link.counts["overflowed"]
    kept = {
        f"at most {case.frozen:.0%} frozen": figures["frozen"] <= case.frozen,
        f"no freeze over {case.longest} s": figures["longest_freeze_s"] <= case.longest,
        f"connects within {case.connects:g} s": figures["first_picture_s"] <= case.connects,
        "one connection": len(far["sessions"]) == 1,
        "likeness at least 0.9": (figures["likeness"] or 0) >= 0.9,
        "the dose was given": abs(dose - case.link.loss) <= 0.25 * case.link.loss + 0.002,
    }
    return figures, kept


def _cut(net: Network, server: "_Apart", case: Outage) -> tuple[Far, dict[str, bool]]:
    restored = 0.0

    def harm() -> None:
        nonlocal restored
        time.sleep(_BEFORE)
        if case.moves:
            net.move_client()
        else:
            net.link.impair(Impairment(down=True))
            time.sleep(case.seconds)
            net.link.impair(CLEAN)
        restored = time.monotonic()

    far = _far(net, server, _BEFORE + case.seconds + _AFTER, harm)
    later = [at for at, _ in far["received"] if at > restored + 0.1]
    figures = _describe(far)
    figures["back_s"] = round(later[0] - restored, 2) if later else None
    style = far["sessions"][-1]["style"]
    kept = {
        f"the picture is back within {case.back:g} s": bool(later)
        and later[0] - restored <= case.back,
        "it is the same session": len({s["id"] for s in far["sessions"]}) == 1,
        "with its style": all(style[key] == value for key, value in STYLE.items()),
    }
    return figures, kept


def _far(
    net: Network, server: "_Apart", seconds: float, harm: Callable[[], None] | None = None
) -> Far:
    """Run the far side for so many seconds after its first picture."""
    command = [sys.executable, "-m", "tests.reliability.far_side", server.url, str(seconds)]
    with subprocess.Popen(
        ["ip", "netns", "exec", net.client, *command], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        try:
            if process.stdout.readline().strip() != "live":
                raise RuntimeError("no picture ever came")
            if harm is not None:
                harm()
            said = process.communicate(timeout=seconds + 60)[0]
        finally:
            process.kill()
    found: Far = json.loads(said)
    return found


def _describe(far: Far) -> Far:
    """Sum up: freezes are gaps between pictures, over the time from the first to the last."""
    times = [at for at, _ in far["received"]]
    ages = sorted(age for _, age in far["received"])
    gaps = [b - a for a, b in itertools.pairwise(times)]
    freezes = [gap for gap in gaps if gap > _FREEZE]
    length = times[-1] - times[0]
    return {
        "seconds": round(length, 1),
        "fps": round(len(gaps) / length, 1),
        "freezes": len(freezes),
        "frozen": round(sum(freezes) / length, 3),
        "longest_freeze_s": round(max(gaps), 2),
        "age_p50_ms": round(1000 * statistics.median(ages)),
        "age_p95_ms": round(1000 * ages[int(0.95 * len(ages))]),
        "likeness": round(statistics.median(far["likeness"]), 3) if far["likeness"] else None,
        "first_picture_s": round(far["sessions"][0]["first"] or 99, 2),
        "connections": len(far["sessions"]),
        "timeline": [[round(at - times[0], 2), round(1000 * gap)]
                     for at, gap in zip(times[1:], gaps, strict=False) if gap > 0.1],
    }  # fmt: skip


def draw(figures: Far, path: Path) -> None:
    """Draw each case's time as a line, red where no picture came for over 0.1 s, as SVG."""
    width, row = 760, 44
    parts = []
    for place, (name, case) in enumerate(figures.items()):
        base = (place + 1) * row - 8
        scale = (width - 20) / max(1.0, case["seconds"])
        said = (
            f"{name}: {case['fps']} fps, {case['frozen']:.0%} frozen, "
            f"longest {case['longest_freeze_s']} s, age p95 {case['age_p95_ms']} ms"
        )
        parts.append(f'<text x="10" y="{base - 12}" font-size="12">{said}</text>')
        parts.append(f'<path d="M10 {base} h{case["seconds"] * scale:.1f}" stroke="#06c"/>')
        for ends, gap in case["timeline"]:
            left, long = 10 + (ends - gap / 1000) * scale, gap / 1000 * scale
            parts.append(
                f'<rect x="{left:.1f}" y="{base - 4}" width="{long:.1f}" height="8" fill="#c33"/>'
            )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{len(figures) * row}" '
        f'font-family="sans-serif">{"".join(parts)}</svg>\n'
    )


class _Apart(Server):
    """A server in a namespace: nobody here can reach it, so its own words say when it is ready."""

    def __init__(self, namespace: str, state: Path) -> None:
        options = ("--host", SERVER, "--trusted-proxies", "10.77.0.254")  # as if one did TLS
        within = ("ip", "netns", "exec", namespace)
        super().__init__(free_port(), *options, state=state, within=within, module=LIGHT)
        self.url = self.url.replace("127.0.0.1", SERVER)

    def wait_ready(self, seconds: float = 120) -> float:
        began = time.monotonic()
        while not any("#code=" in line for line in self.lines):
            if time.monotonic() - began > seconds:
                raise TimeoutError(f"not ready after {seconds} s: {self.lines}")
            time.sleep(0.1)
        return time.monotonic() - began

    def __enter__(self) -> "_Apart":
        try:
            self.wait_ready()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def _server(net: Network, state: Path) -> _Apart:
    return _Apart(net.server, state)
