"""Pictures cross to the engine's process and back without a copy by whoever reads them."""

from multiprocessing.shared_memory import SharedMemory
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from pipeline.params import StyleParams
from pipeline.results import EngineResult
from streams import engine_child
from streams.engine_child import Progress
from streams.engine_process import EngineProcess
from streams.lent_pictures import Places, bytes_of
from streams.protocol import Result
from tests.streams.fakes import FakeEngine
from tests.streams.waiting import until

SIDE, LARGEST = 8, 300
MANY = 40  # more than there are places


@pytest.fixture
def both() -> tuple[Places, Places]:
    memory = SharedMemory(create=True, size=2 * bytes_of(2, LARGEST))
    other = SharedMemory(memory.name)
    memory.unlink()
    return Places(memory, 1, 2, LARGEST), Places(other, 1, 2, LARGEST)


def picture(level: int) -> np.ndarray:
    return np.full((SIDE, SIDE, 3), level, np.uint8)


def test_a_place_is_taken_as_long_as_anybody_looks_at_a_part_of_it(
    both: tuple[Places, Places],
) -> None:
    writer, reader = both
    assert [writer.write(picture(level)) for level in (1, 2)] == [1, 2]
    seen = reader.read(1, (SIDE, SIDE, 3))
    corner = seen[:2, :2, 0]
    del seen
    assert writer.write(picture(3)) == 0  # all are taken
    copied = reader.read(0, (SIDE, SIDE, 3))
    assert writer.write(picture(4)) == 0
    assert (corner == 1).all()
    assert (copied == 3).all()
    del corner
    assert writer.write(picture(5)) == 1
    assert (reader.read(1, (SIDE, SIDE, 3)) == 5).all()
    assert (reader.read(2, (SIDE, SIDE, 3)) == 2).all()


def test_nothing_is_copied_where_there_is_a_place(both: tuple[Places, Places]) -> None:
    writer, reader = both
    seen = reader.read(writer.write(picture(1)), (SIDE, SIDE, 3))
    writer._view(1, seen.shape)[:] = 7
    assert (seen == 7).all()


def test_a_picture_outlives_the_memory_that_it_came_in(both: tuple[Places, Places]) -> None:
    memory = SharedMemory(create=True, size=bytes_of(1, LARGEST))
    memory.unlink()
    places = Places(memory, 0, 1, LARGEST)
    seen = places.read(places.write(picture(9)), (SIDE, SIDE, 3))
    del places, memory
    assert (seen == 9).all()


class Hoarder(FakeEngine):
    """Keeps pictures until it has many, and gives all results at once."""

    def tick(self) -> list[EngineResult]:
        return super().tick() if len(self._waiting) == MANY else []


def hoarder(progress: Progress) -> Hoarder:
    return Hoarder()


@pytest.mark.parametrize(("free", "places"), [(0, 0), (60 << 20, 4), (1 << 40, 16)])
def test_pictures_take_no_more_memory_than_a_container_has(
    monkeypatch: pytest.MonkeyPatch, free: int, places: int
) -> None:
    """Docker gives 64 MiB; whoever touches more is killed."""
    monkeypatch.setattr(engine_child.shutil, "disk_usage", lambda path: SimpleNamespace(free=free))
    monkeypatch.setattr(engine_child, "_SHARED", Path("/"))
    config = FakeEngine().config
    size = engine_child.memory_bytes(config)

    assert size <= max(0.6 * free, 8 << 20)
    memory = SharedMemory(create=True, size=size)
    memory.unlink()
    come, go = engine_child.halves(memory, config)
    assert [len(each._taken) - 1 for each in (come, go)] == [places, places]
    assert (go.read(go.write(picture(3)), (SIDE, SIDE, 3)) == 3).all()


def test_more_pictures_than_places_come_back_whole_and_stay_when_the_engine_dies() -> None:
    pictures = np.random.default_rng(0).integers(0, 256, (MANY, 64, 64, 3), np.uint8)
    engine = EngineProcess(hoarder)
    try:
        engine.start()
        child = engine._guardian.present()
        for _ in range(2):  # places are free again
            engine.open("ann")
            for number, image in enumerate(pictures):
                engine.submit("ann", number, image, StyleParams())
            results: list[Result] = []
            while engine.in_flight:
                results += engine.tick()
            assert [result.number for result in results] == list(range(MANY))
            assert all(np.array_equal(255 - pictures[r.number], r.image) for r in results)
        assert child.come._taken.sum() == len(child.come._taken) - 1  # lent, the others are copies
        child.process.kill()
        until(lambda: engine._guardian.child is not child)
        assert all(np.array_equal(255 - pictures[r.number], r.image) for r in results)
        results.clear()
        assert not child.come._taken.any()
        assert not child.go._taken.any()
    finally:
        engine.end()
