"""Signals that a terminal or a supervisor sends to all processes of the server at once."""

import signal


def leave_to_the_parent() -> None:
    """Ignore Ctrl-C and SIGTERM: sessions drain while the server's process still runs.

    It ends this one, and its end does so too.
    """
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, signal.SIG_IGN)
