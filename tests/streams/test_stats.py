from streams.stats import SessionStats


def test_flicker_is_the_median_of_the_pictures_that_have_a_figure() -> None:
    stats = SessionStats()
    assert stats.figures().flicker is None

    for flicker in (1.0, None, 2.0, 90.0):  # a cut is one frame: it must not colour the figure
        stats.went_out(20.0, {}, flicker=flicker)

    assert stats.figures().flicker == 2.0
    assert stats.frames_out == 4
