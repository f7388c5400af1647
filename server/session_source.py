"""The source of a session whose pictures the server finds by itself: another one, seeking."""

from collections.abc import Callable

from server.aside import aside
from server.errors import ApiError, new_request_id
from server.refusals import Refusals
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
        self._refusals = Refusals()
        self._told: tuple[str | None, str | None] = None, None  # the last problem and its id

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
            problem_id=self._id_of(source.problem),
        )

    def _id_of(self, problem: str | None) -> str | None:
        """Give a problem the id of a line in the log, once; where it was is not said there."""
        if problem is not None and problem != self._told[0]:
            kind = self._switch.source.place.kind
            said = f"people are told of a source of kind {kind} that was lost"
            self._told = problem, self._refusals.note("lost", said, new_request_id())
        return None if problem is None else self._told[1]

    @property
    def is_away(self) -> bool:
        """Say whether it broke off and is tried again."""
        return self._switch.source.state == "retrying"

    async def close(self) -> None:
        """End it; takes seconds while a stream says nothing."""
        await aside(self._switch.close)
