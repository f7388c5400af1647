"""When an output frame is sent: pure functions of given times."""

_MOST = 0.05  # seconds; a longer wait would be delay, not smoothness


def hold(previous_sent: float, previous_pts: float, ready: float, pts: float) -> float:
    """Say how many seconds to hold a frame that is ready, so that two never go out in a burst.

    Frames keep at least half the distance that their input had. A steady stream is never held;
    after a stall the next frame goes out at once, so delay cannot build up. All in seconds.
    """
    apart = min(max(0.0, pts - previous_pts) / 2, _MOST)
    return min(max(0.0, previous_sent + apart - ready), _MOST)
