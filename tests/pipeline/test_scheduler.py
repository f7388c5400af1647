"""Which rows run next, and how many frames a session may have in flight."""

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from pipeline.backends.simulated import SIDE, Clock, Device
from pipeline.params import StyleParams
from pipeline.results import Image
from pipeline.scheduler import PERIOD, Load, depth, pick
from pipeline.slots import Slot
from streams.frame import SessionId
from streams.mailbox import Mailbox
from streams.simulation import Camera, make_engine, simulate

FOUR = StyleParams(guidance_scale=1.0, deflicker=0.0, steps=4)


@pytest.fixture
def admit() -> Callable[..., Slot]:
    engine = make_engine(Device(Clock(), 0.0, 0.0))

    def made(session: str, due: float, index: int = 0, rows: int = 1) -> Slot:
        engine.open(session)
        scale = float(rows)  # full guidance has two rows
        style = StyleParams(guidance="full", guidance_scale=scale, steps=4, deflicker=0.0)
        slot = engine.admit(session, 0, np.zeros((SIDE, SIDE, 3), np.uint8), style, due)
        assert isinstance(slot, Slot)
        slot.index = index
        assert slot.rows == rows
        return slot

    return made


def chosen(slots: list[Slot], most_rows: int) -> list[str]:
    return [slot.session for slot in pick(slots, most_rows)]


def test_the_earliest_deadline_goes_first_and_of_equal_ones_what_is_further_on(
    admit: Callable[..., Slot],
) -> None:
    slots = [
        admit("late", 3.0),
        admit("new", 2.0),
        admit("begun", 2.0, index=2),
        admit("first", 1.0),
    ]

    assert chosen(slots, 4) == ["first", "begun", "new", "late"]
    assert chosen(slots, 2) == ["first", "begun"]


def test_both_rows_of_a_guided_frame_run_in_one_call_or_it_waits(
    admit: Callable[..., Slot],
) -> None:
    slots = [admit("plain", 1.0), admit("guided", 2.0, rows=2), admit("last", 3.0)]

    assert chosen(slots, 3) == ["plain", "guided"]
    assert chosen(slots, 2) == ["plain", "last"]  # what fits is not held up
    assert chosen(slots[1:2], 1) == ["guided"]


def test_a_younger_frame_does_not_pass_an_older_one_of_its_session(
    admit: Callable[..., Slot],
) -> None:
    slots = [admit("ann", 3.0), admit("ann", 2.0, rows=2), admit("ben", 1.0)]

    assert chosen(slots, 2) == ["ben"]


def test_only_where_batches_pay_and_steps_back_to_back_are_too_slow_a_stream_batch_is_made() -> (
    None
):
    pays, does_not = Load(0.02, 0.001), Load(0.0, 0.02)

    assert depth("auto", 4, 8, pays) == 4
    assert depth("auto", 4, 8, does_not) == 1
    assert depth("auto", 4, 8, Load(0.004, 0.001)) == 1  # back to back is in time
    assert depth("auto", 4, 8, replace(pays, sessions=8)) == 1  # others fill the calls


def test_auto_follows_the_load_while_people_come_and_go() -> None:
    """Alone a stream batch, among many step by step, and back, without anybody asking."""
    device = Device(Clock(), 0.012, 0.003)
    engine = make_engine(device, max_rows=8)
    guests = [Camera(f"g{i}", first=2 + i * PERIOD / 15, style=FOUR, until=4) for i in range(15)]
    inside: dict[str, list[int]] = {"alone": [], "among many": [], "alone again": []}

    def look(now: float, _: Mailbox) -> None:
        frames = sum(each.session == "ann" for each in engine._slots)
        for when, start, end in (
            ("alone", 1.0, 2.0), ("among many", 2.5, 4.0), ("alone again", 5.5, 7.0),
        ):  # fmt: skip
            if start <= now < end:
                inside[when].append(frames)

    served = simulate(engine, device.clock, [Camera("ann", style=FOUR), *guests], 7, look)

    assert max(inside["alone"]) > 1
    assert max(inside["among many"]) == 1
    assert max(inside["alone again"]) > 1
    numbers = [frame.number for frame in served if frame.session == "ann"]
    assert numbers == sorted(set(numbers))


def test_every_kind_of_change_holds_from_the_very_frame_that_was_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With a device so slow that frames wait, and newer ones replace them."""
    device = Device(Clock(), 0.0, 0.05)
    engine = make_engine(device, max_rows=1)
    submit, submitted = engine.submit, list[tuple[int, StyleParams]]()

    def noted(session: str, number: int, image: Image, style: StyleParams, since: float) -> None:
        if session == "ann":
            submitted.append((number, style))
        submit(session, number, image, style, since)

    plain = replace(FOUR, steps=1)
    changes = [
        replace(plain, prompt="ink"), replace(plain, prompt="ink:1 AND neon:2"),
        replace(plain, prompt="neon", travel=0.5), replace(plain, seed_blend=0.4, blend_seed=7),
        replace(plain, negative_prompt="oil", guidance="full", guidance_scale=2.0),
        replace(plain, steps=3), replace(plain, strength=0.3),
    ]  # fmt: skip
    told = [(0, plain)]

    def change(now: float, mailbox: Mailbox) -> None:
        if now > 0.41 * len(told) and len(told) <= len(changes):
            style = changes[len(told) - 1]
            told.append((mailbox.restyle(SessionId("ann"), style), style))

    monkeypatch.setattr(engine, "submit", noted)
    cameras = [Camera("ann", style=plain), Camera("ben", first=0.01, style=plain)]
    simulate(engine, device.clock, cameras, 4, change)

    assert len(told) == 1 + len(changes)
    for number, style in submitted:
        assert style == [style for first, style in told if first <= number][-1], number
    assert {style for _, style in submitted} == {plain, *changes}
    assert any(later - number > 1 for (number, _), (later, _) in pairwise(submitted))
