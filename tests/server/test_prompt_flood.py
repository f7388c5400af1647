"""A session that changes its prompt all the time, and what that leaves of the processor."""

import asyncio
import time
from typing import cast

import pytest

from pipeline.params import StyleParams
from server.control import Control
from server.schema.style import Style, StylePatch
from server.settings import Settings
from streams.worker import Worker

TAKES = 0.02  # seconds that a prompt takes to be encoded


class Encoder:
    """As much of a worker as a change of style needs."""

    def __init__(self) -> None:
        self.spent, self.calls = 0.0, 0

    def prepare(self, params: StyleParams) -> None:
        began = time.monotonic()
        time.sleep(TAKES)
        self.spent += time.monotonic() - began
        self.calls += 1

    def restyle(self, session: str, params: StyleParams) -> int:
        return self.calls


@pytest.fixture
def encoder() -> Encoder:
    return Encoder()


@pytest.fixture
def control(encoder: Encoder) -> Control:
    worker = cast(Worker, encoder)
    return Control("ann", Style(), (256, 256), worker, Settings(_env_file=None))


async def test_a_flood_of_prompts_takes_a_fifth_of_a_core(
    control: Control, encoder: Encoder
) -> None:
    began = time.monotonic()
    changes = []
    while time.monotonic() - began < 1:
        changes.append(asyncio.create_task(control.change(StylePatch(prompt=f"{len(changes)}"))))
        await asyncio.sleep(0.005)
    in_force = await asyncio.gather(*changes)

    assert in_force[-1][0].prompt == f"{len(changes) - 1}"
    assert encoder.calls > 3  # who drags a slider sees what it does
    assert encoder.spent < 0.3 * (time.monotonic() - began)


async def test_a_single_change_waits_for_nothing_but_its_prompt(
    control: Control, encoder: Encoder
) -> None:
    waited = []
    for number in range(3):
        began = time.monotonic()
        await control.change(StylePatch(prompt=f"{number}"))
        waited.append(time.monotonic() - began - encoder.spent)
        encoder.spent = 0.0
        await asyncio.sleep(5 * TAKES)
    assert min(waited) < TAKES
