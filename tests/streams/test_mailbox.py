import threading
from dataclasses import replace

from pipeline.params import StyleParams
from streams.mailbox import Letter, Mailbox
from tests.streams.pictures import ANN, BEN, frame

INK, OIL = StyleParams(prompt="ink"), StyleParams(prompt="oil")


def always(*_: object) -> bool:
    return True


def opened(*sessions: object) -> Mailbox:
    box = Mailbox()
    box.open(ANN, INK)
    box.open(BEN, INK)
    return box


def letters(box: Mailbox) -> list[Letter]:
    """Take all that waits."""
    found = []
    while letter := box.take(0, always).letter:
        found.append(letter)
    return found


def test_a_new_frame_replaces_the_untaken_one_and_is_counted() -> None:
    box = opened()
    for number in range(3):
        box.put(ANN, frame(number))

    assert [letter.frame.number for letter in letters(box)] == [2]
    assert box.dropped(ANN) == 2


def test_a_busy_sender_does_not_lose_its_place_nor_take_anothers() -> None:
    box = opened()
    box.put(ANN, frame(1))
    box.put(BEN, frame(1))
    box.put(ANN, frame(2))

    assert [letter.session for letter in letters(box)] == [ANN, BEN]


def test_a_session_waits_since_its_first_frame_that_had_no_turn() -> None:
    box = opened()
    first, second, third = (replace(frame(n), arrived_ns=1000 * n) for n in range(3))
    box.put(ANN, first)
    box.put(ANN, second)
    (letter,) = letters(box)
    assert (letter.frame, letter.since_ns) == (second, first.arrived_ns)

    box.put(ANN, third)
    (letter,) = letters(box)
    assert letter.since_ns == third.arrived_ns


def test_a_new_style_holds_for_the_frame_that_still_waits() -> None:
    box = opened()
    box.put(ANN, frame(7))

    assert box.restyle(ANN, OIL) == 7
    (letter,) = letters(box)
    assert (letter.frame.number, letter.style) == (7, OIL)


def test_a_new_style_holds_from_the_frame_after_the_taken_one() -> None:
    box = opened()
    box.put(ANN, frame(7))
    (letter,) = letters(box)

    assert letter.style == INK
    assert box.restyle(ANN, OIL) == 8


def test_a_frame_that_the_engine_does_not_want_stays() -> None:
    box = opened()
    box.put(ANN, frame(0))
    box.put(BEN, frame(0))

    mail = box.take(0, lambda session, _: session == BEN)

    assert mail.letter is not None
    assert mail.letter.session == BEN
    assert [letter.session for letter in letters(box)] == [ANN]


def test_a_closed_session_is_told_once_and_its_late_frames_vanish() -> None:
    box = opened()
    box.put(ANN, frame(0))
    box.close(ANN)
    box.put(ANN, frame(1))

    mail = box.take(0, always)

    assert (mail.closed, mail.letter) == ([ANN], None)
    assert box.take(0, always).closed == []


def test_shutting_wakes_the_one_who_waits() -> None:
    box = opened()
    waiting = threading.Thread(target=lambda: box.take(30, always))
    waiting.start()
    box.shut()
    waiting.join(5)
    assert not waiting.is_alive()
