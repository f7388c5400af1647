import pytest

from streams.sources.timing import FilmTime, LiveTime


def test_a_film_runs_at_its_pace_and_goes_on_without_a_gap() -> None:
    timing = FilmTime()
    assert timing.picture(2.0, 100.0) == 100.0
    assert timing.sound(2.5, 100.1) == 100.5
    timing.again(3.0)
    assert timing.picture(0.0, 101.0) == 101.0
    timing.begin()
    assert timing.sound(7.0, 102.0) == 102.0


def test_a_film_that_cannot_keep_up_runs_slower_and_its_sound_with_it() -> None:
    timing = FilmTime()
    timing.picture(0.0, 100.0)
    assert timing.picture(1.0, 101.4) == 101.0  # late, but it may catch up
    assert timing.picture(2.0, 102.6) == 102.6
    assert timing.sound(3.0, 102.7) == pytest.approx(103.6)


def test_live_sound_is_due_with_the_picture_of_its_moment() -> None:
    timing = LiveTime()
    assert timing.sound(0.0, 100.0) is None  # no picture yet
    for number in range(10):
        timing.picture(number / 25, 103.0)  # what waited at the start
    for number in range(10, 40):
        timing.picture(number / 25, 101.0 + number / 25 + 0.02 * (number % 3))
    assert timing.sound(1.5, 102.6) == pytest.approx(101.0 + 1.5 + 0.02)


def test_times_that_have_nothing_to_do_with_the_pictures_are_not_followed() -> None:
    timing = LiveTime()
    timing.picture(0.0, 100.0)
    assert timing.sound(5000.0, 100.1) == pytest.approx(100.1)
