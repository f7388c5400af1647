"""What must not take a slow machine for a hang counts only the time that this process had."""

import signal
import subprocess
import sys
import time
from multiprocessing import Pipe

import pytest

from streams.given_time import GivenTime, arrives
from streams.patience import Patience

STOPPED = 1.0  # seconds


def test_time_that_others_had_is_not_counted() -> None:
    code = (
        "import time; from streams.given_time import GivenTime\n"
        "given = GivenTime(); given.start(); began, passed = given(), time.monotonic()\n"
        "print(flush=True); input()\n"
        "print(time.monotonic() - passed, given() - began); given.close()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as held_up:
        assert held_up.stdout is not None
        held_up.stdout.readline()
        held_up.send_signal(signal.SIGSTOP)
        time.sleep(STOPPED)
        held_up.send_signal(signal.SIGCONT)
        passed, given = map(float, held_up.communicate("\n")[0].split())
    assert passed >= STOPPED
    assert 0 <= given <= passed - STOPPED + 0.1


def test_time_that_nobody_else_wants_is_counted() -> None:
    given = GivenTime()
    given.start()
    began, passed = given(), time.monotonic()
    looks = []
    while time.monotonic() < passed + 0.3:
        looks.append(given())
        time.sleep(0.005)
    given.close()
    assert looks == sorted(looks)
    # half of it: other tests run here, too
    assert 0.15 < looks[-1] - began <= time.monotonic() - passed


def test_a_call_that_waits_for_the_processor_is_no_hang() -> None:
    given = [0.0]
    patience = Patience(lambda: given[-1])
    patience.begin()
    given.append(0.3)  # of the three seconds that it takes
    assert not patience.is_over
    given.append(0.5)
    assert patience.is_over


def test_an_answer_is_waited_for_as_long_as_somebody_could_give_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ours, theirs = Pipe()
    polls: list[float] = []
    poll = ours.poll

    def late(seconds: float) -> bool:
        polls.append(seconds)
        time.sleep(0.1)  # on a machine where everybody is late
        if len(polls) == 5:
            theirs.send("here it is")
        return poll(0)

    monkeypatch.setattr("streams.given_time._STEP", 0.02)
    monkeypatch.setattr(ours, "poll", late)
    assert arrives(ours, 0.2)  # after half a second
    assert ours.recv() == "here it is"
    assert not arrives(ours, 0.05)
    assert sum(polls[5:]) == pytest.approx(0.05)
    theirs.close()
    assert arrives(ours, None)  # the end
    ours.close()
