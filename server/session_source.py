"""The source of a session whose pictures the server finds by itself: another one, seeking."""

from collections.abc import Callable

from server.aside import aside
from server.errors import ApiError
from server.schema.sources import SourcePatch, SourceState
from streams.frame import Frame
from streams.sound import Sound
from streams.sources.place import Place, shown
from streams.sources.switch import SourceSwitch


class SessionSource:
    """What a session knows of its source. Lives on the loop; pictures come from a thread."""

    def __init__(
        self,
        put: Callable[[Frame], None],
        hear: Callable[[Sound], None],
        ended: Callable[[], None],
    ) -> None:
        """All are called from threads."""
        self._switch = SourceSwitch(put, hear, ended)

    async def open(self, place: Place, loop: bool, begin: float) -> None:
        """Take pictures from there, and no longer from where they came. Raises SourceError."""
        await aside(self._switch.change, place, loop, begin)

    def patch(self, patch: SourcePatch) -> None:
        """Go to a moment of a file, loop it or not. Raises ApiError 409 or SourceError."""
        source = self._switch.source
        if source.place.kind != "file":
            kind = source.place.kind
            raise ApiError("not_a_file", f"the source is of kind {kind}; only files have this")
        if patch.position is not None:
            source.seek(patch.position)
        if patch.loop is not None:
            source.loop = patch.loop

    def state(self) -> SourceState:
        """Describe it."""
        source = self._switch.source
        is_file = source.place.kind == "file"
        return SourceState(
            kind=source.place.kind,
            at=shown(source.place),
            position=source.position,
            duration=source.duration,
            loop=source.loop if is_file else None,
            sound=source.has_sound,
            state=source.state,
            losses=source.losses,
            problem=source.problem,
        )

    @property
    def is_away(self) -> bool:
        """Say whether it broke off and is tried again."""
        return self._switch.source.state == "retrying"

    async def close(self) -> None:
        """End it; takes seconds while a stream says nothing."""
        await aside(self._switch.close)
