import pytest

from streams.pacing import Elapsed, backoff, hold


def test_a_steady_stream_is_never_held() -> None:
    sent = [n / 30 for n in range(100)]
    waits = [hold(sent[n - 1], (n - 1) / 30, sent[n], n / 30) for n in range(1, 100)]
    assert max(waits) == 0


def test_two_frames_that_come_at_once_are_set_apart() -> None:
    assert hold(10.0, 5.0, 10.001, 5.033) == pytest.approx(0.0155, abs=1e-4)


def test_after_a_stall_the_next_frame_goes_out_at_once() -> None:
    assert hold(10.0, 5.0, 12.0, 7.0) == 0


@pytest.mark.parametrize("pts", [0.0, 1e9])
def test_odd_timestamps_never_hold_a_frame_for_long(pts: float) -> None:
    assert 0 <= hold(10.0, 5.0, 10.0, pts) <= 0.05


def test_elapsed_keeps_pauses_and_outlives_a_jump_of_the_clock() -> None:
    elapsed = Elapsed()
    times = [elapsed.at(pts) for pts in (100, 100.5, 104.5, 3, 4, 50_000, 50_001)]
    assert times == pytest.approx(
        [0, 0.5, 4.5, 4.5 + 1 / 30, 5.5 + 1 / 30, 5.5 + 2 / 30, 6.5 + 2 / 30]
    )


def test_tries_come_ever_later_up_to_half_a_minute() -> None:
    assert [backoff(n, 0) for n in (1, 2, 3, 4, 5, 6, 1000)] == [1, 2, 4, 8, 16, 30, 30]
    assert [backoff(n, 1) for n in (1, 2, 6)] == [1, 1, 15]
