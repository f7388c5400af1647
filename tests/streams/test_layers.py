"""Which layer of a camera is taken: the best that comes, each from a key frame on."""

import pytest

from streams.layers import LayerChoice


def meet(choice: LayerChoice, layer: str, *frames: int, key: bool = False) -> list[str]:
    """Send frames of one packet each."""
    return [choice.meet(layer, frame, key) for frame in frames]


def taking(layer: str) -> LayerChoice:
    choice = LayerChoice(["large", "middle", "small"])
    assert meet(choice, layer, 0, key=True) == ["begin"]
    return choice


@pytest.mark.parametrize("layer", ["large", "small", "unheard of"])
def test_the_first_key_frame_is_taken_whatever_it_is_of(layer: str) -> None:
    choice = taking(layer)
    assert meet(choice, layer, 0, 1, 2) == ["take"] * 3


def test_nothing_is_taken_before_a_key_frame_and_one_is_asked_for_every_ten_frames() -> None:
    choice = LayerChoice(["large", "small"])
    assert meet(choice, "small", *range(11)) == ["ask", *["drop"] * 9, "ask"]
    assert choice.meet("small", 10, False) == "drop"  # a second packet of the same frame


def test_a_better_layer_takes_over_with_its_key_frame() -> None:
    choice = taking("small")
    assert meet(choice, "middle", 1, 2) == ["ask", "drop"]
    assert meet(choice, "small", 1) == ["take"]
    assert meet(choice, "middle", 3, key=True) == ["begin"]
    assert meet(choice, "large", 4, key=True) == ["begin"]
    assert meet(choice, "middle", 4, key=True) == ["drop"]
    assert choice.taken == "large"


def test_a_worse_layer_takes_over_when_it_alone_has_come_for_ten_frames() -> None:
    choice = taking("large")
    for frame in range(1, 30):
        assert meet(choice, "small", frame, key=frame % 5 == 0) == ["drop"]
        if frame % 9 == 0:
            assert meet(choice, "large", frame) == ["take"]
    assert meet(choice, "small", *range(30, 39)) == ["drop"] * 8 + ["ask"]
    assert meet(choice, "small", 39, key=True) == ["begin"]


def test_the_layer_that_comes_back_is_taken_again() -> None:
    choice = taking("large")
    meet(choice, "small", *range(12))
    assert meet(choice, "small", 12, key=True) == ["begin"]
    assert meet(choice, "large", 13) == ["ask"]
    assert meet(choice, "large", 14, key=True) == ["begin"]


def test_a_layer_that_the_offer_does_not_name_is_the_worst() -> None:
    choice = taking("unheard of")
    assert meet(choice, "small", 1, key=True) == ["begin"]
    assert meet(choice, "unheard of", 2, key=True) == ["drop"]
