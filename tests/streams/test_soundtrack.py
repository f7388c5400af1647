"""Where sound stands beside an output's pictures."""

import itertools
import random

import pytest

from streams.sound import Sound
from streams.soundtrack import SILENCE, Heard, Soundtrack

BEGAN = 1000.0  # time.monotonic() of the first picture


def run(
    seconds: float, silent: tuple[float, float] = (0, 0), jitter: float = 0.0, drift: float = 0.0,
    jump_at: float = 1e9,
) -> list[Heard]:  # fmt: skip
    """Give what is heard beside 30 pictures and 50 packets a second; both arrive at their time."""
    dice, track, found = random.Random(7), Soundtrack(), list[Heard]()
    events = [(number / 30, "picture") for number in range(int(seconds * 30))]
    events += [(number / 50 + 0.001, "sound") for number in range(-10, int(seconds * 50))]
    for at, kind in sorted(events):
        arrived = BEGAN + at + dice.uniform(0, jitter)
        if kind == "picture":
            found += track.picture(arrived, at)
        elif not silent[0] <= at < silent[1]:
            its = at * (1 + drift) + (500 if at >= jump_at else 40)
            found += track.packet(Sound(round(its * 48000), arrived, str(at).encode()))
    return found


def spoken(found: list[Heard]) -> list[tuple[float, float]]:
    """Give when each packet is heard, and when it should be."""
    return [(each.seconds, float(each.data)) for each in found if each.data != SILENCE]


@pytest.mark.parametrize("how", [{"jitter": 0.03}, {"drift": 1e-4}, {"jump_at": 30.005}], ids=str)
def test_sound_has_the_time_of_the_picture_that_came_with_it(how: dict[str, float]) -> None:
    pairs = spoken(run(60, **how))  # type: ignore[arg-type]  # all of them are floats
    late = [heard - due for heard, due in pairs if due > 2]
    assert len(pairs) >= 60 * 50 - 2
    assert max(map(abs, late)) < 0.01
    assert pairs == sorted(pairs)


def test_a_hole_is_filled_with_silence_and_sound_that_comes_back_is_in_its_place() -> None:
    found = run(20, silent=(5, 10))
    times = [each.seconds for each in found]
    assert max(b - a for a, b in itertools.pairwise(times)) < 0.045
    assert times == sorted(times)
    silence = [each.seconds for each in found if each.data == SILENCE]
    assert (min(silence), max(silence)) == pytest.approx((5, 10), abs=0.05)
    assert all(abs(heard - due) < 0.01 for heard, due in spoken(found))


def test_without_sound_silence_keeps_up_with_the_pictures() -> None:
    track = Soundtrack()
    reached = 0.0
    for number in range(90):
        for each in track.picture(BEGAN + number / 30, number / 30):
            assert each.data == SILENCE
            reached = each.seconds + 0.02
        assert number / 30 - reached < 0.04


def test_sound_that_is_a_little_behind_is_waited_for() -> None:
    track, found = Soundtrack(), list[Heard]()
    for number in range(140):
        found += track.picture(BEGAN + number / 50, number / 50)
        if 40 <= number < 100:  # each packet comes 0.8 s late
            late = Sound((number - 40) * 960, BEGAN + (number - 40) / 50, b"spoken")
            found += track.packet(late)
    times = [each.seconds for each in found if each.data == b"spoken"]
    assert len(times) >= 19  # but for those of the silence before the first one came
    assert times == pytest.approx([1.18 - 0.02 * left for left in reversed(range(len(times)))])


def test_nothing_is_heard_before_the_first_picture() -> None:
    assert Soundtrack().packet(Sound(0, BEGAN, b"early")) == []


def test_a_packet_without_data_is_left_out() -> None:
    track = Soundtrack()
    track.picture(BEGAN, 0)
    assert track.packet(Sound(0, BEGAN, b"")) == []
