"""Where one session's pictures go besides the page and its viewers."""

import asyncio
import secrets
from dataclasses import dataclass

from pipeline.config import Size
from server.aside import aside
from server.errors import ApiError
from server.output_kinds import MISSING, plan
from server.output_totals import OutputTotals
from server.schema.outputs import NewOutput, OutputKind, OutputProblem, OutputState
from server.settings import Settings
from streams.hub import Hub
from streams.output import Backdrop, Output
from streams.sound import LipSync


@dataclass(frozen=True, slots=True)
class _Open:
    id: str
    kind: OutputKind
    target: str  # for people; without secrets
    output: Output

    def state(self) -> OutputState:
        now = self.output.figures()
        failed = now.failure
        return OutputState(
            id=self.id,
            kind=self.kind,
            target=self.target,
            state=now.state,
            frames=now.frames,
            dropped=now.dropped,
            seconds=round(now.seconds, 3),
            bytes=now.bytes,
            losses=now.losses,
            problem=None if failed is None else OutputProblem(id=failed.id, detail=failed.detail),
        )


class Outputs:
    """The outputs of one session. Lives on the loop; each output has a thread of its own."""

    def __init__(self, settings: Settings, hub: Hub, sound: LipSync, totals: OutputTotals) -> None:
        self._settings, self._hub, self._sound, self._totals = settings, hub, sound, totals
        self._open: dict[str, _Open] = {}
        self._ending = 0  # they still write what waits, and have their places until then
        self._closed = False

    def states(self) -> list[OutputState]:
        """Say how each does."""
        return [each.state() for each in self._open.values()]

    def kinds(self) -> dict[OutputKind, str | None]:
        """Say of each kind why it cannot be started here; None: it can."""
        return {kind: reason(self._settings) for kind, reason in MISSING.items()}

    def start(self, wanted: NewOutput, size: Size) -> OutputState:
        """Begin one; it opens by itself, so whether that worked is told by its state.

        It keeps this size: pictures of another one, as after a change, are cut and scaled, and
        those with a matte are laid over the backdrop.
        Raises ApiError 403, 404 or 503; nothing was made then.
        """
        if self._closed:
            raise ApiError("not_found", "no such session")
        most = self._settings.outputs
        if len(self._open) + self._ending >= most:
            raise ApiError("full", f"all {most} outputs of this session are taken: end one first")
        its = plan(wanted, size, self._settings)
        id = secrets.token_urlsafe(8)
        output = Output(id, its.open_sink, *size, its.room, _backdrop(wanted.backdrop))
        begun = self._open[id] = _Open(id, wanted.kind, its.target, output)
        self._totals.begin(begun.state)
        self._hub.add(output.put)
        self._sound.add(output.hear)
        return begun.state()

    async def end(self, id: str) -> OutputState:
        """End one once what waits is written; give its last state. Raises ApiError 404."""
        ending = self._open.pop(id, None)
        if ending is None:
            raise ApiError("not_found", "no such output")
        self._hub.remove(ending.output.put)
        self._sound.remove(ending.output.hear)
        self._ending += 1
        try:
            await aside(ending.output.close)
        finally:
            self._ending -= 1
            self._totals.end(id)
        return ending.state()

    async def close(self) -> None:
        """End all of them."""
        self._closed = True
        await asyncio.gather(*(self.end(id) for id in list(self._open)))


def _backdrop(told: str) -> Backdrop:
    if told == "camera":
        return "camera"
    red, green, blue = bytes.fromhex(told[1:])
    return red, green, blue
