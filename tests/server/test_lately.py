"""Counting by address: so many a minute, and a crowd makes nobody forgotten who keeps coming."""

from server.lately import Lately


def test_who_came_often_enough_waits_until_a_minute_is_over() -> None:
    now = 0.0
    lately = Lately(2, clock=lambda: now)
    lately.note("here")
    now = 20.0
    lately.note("here")
    assert 0 < lately.wait("here") <= 41
    assert lately.wait("there") == 0
    now = 60.5
    assert lately.wait("here") == 0


def test_a_crowd_makes_the_one_forgotten_who_has_been_silent_for_longest() -> None:
    lately = Lately(2, clock=lambda: 0.0)
    lately.note("first")
    for number in range(999):
        lately.note(f"other {number}")
    lately.note("first")
    lately.note("one too many")
    assert lately.wait("first") > 0
