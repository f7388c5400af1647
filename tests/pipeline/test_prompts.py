import threading
import weakref
from collections.abc import Sequence

import pytest
import torch

from pipeline.prompts import Prompts, TextEncoder, parse_blend


@pytest.mark.parametrize(
    ("prompt", "parts"),
    [
        ("ink", [("ink", 1.0)]),
        ("a street: 5 lamps", [("a street: 5 lamps", 1.0)]),  # no AND, no weight
        ("salt and pepper", [("salt and pepper", 1.0)]),
        ("ink AND neon", [("ink", 0.5), ("neon", 0.5)]),
        ("ink:3 AND neon : 1", [("ink", 0.75), ("neon", 0.25)]),
        ("ink:.5 AND neon:.5 AND clay:1", [("ink", 0.25), ("neon", 0.25), ("clay", 0.5)]),
        ("ink AND ", [("ink", 1.0)]),  # somebody is typing
        ("ink:0 AND neon", [("neon", 1.0)]),
        ("ink:0 AND neon:0", [("", 1.0)]),
        ("", [("", 1.0)]),
    ],
)
def test_a_blend_is_split_into_shares(prompt: str, parts: list[tuple[str, float]]) -> None:
    assert parse_blend(prompt) == parts


def encode(texts: Sequence[str]) -> torch.Tensor:
    return torch.tensor([float(len(text)) for text in texts])[:, None, None].expand(-1, 2, 3)


def judge(words: torch.Tensor) -> list[float]:
    """Know what is short; the rest is most like the second style."""
    return [0.9, 0.0, 0.1] if words[0, 0, 0] < 5 else [0.05, 0.15, 0.8]


def test_a_blend_is_the_weighted_mean_of_its_texts() -> None:
    prompts = Prompts(TextEncoder(encode))

    blended = prompts.get("ab:1 AND abcdef:3")

    torch.testing.assert_close(blended, torch.full((1, 2, 3), 5.0))


def test_another_share_of_the_same_texts_encodes_nothing() -> None:
    asked: list[str] = []

    def count(texts: Sequence[str]) -> torch.Tensor:
        asked.extend(texts)
        return encode(texts)

    prompts = Prompts(TextEncoder(count))
    for share in range(1, 9):
        prompts.get(f"ink:{share} AND neon:{9 - share}")
    prompts.get("ink")

    assert asked == ["ink", "neon"]


def test_many_texts_are_encoded_in_few_calls_and_count_the_same() -> None:
    calls: list[int] = []

    def counted(texts: Sequence[str]) -> torch.Tensor:
        calls.append(len(texts))
        return encode(texts)

    texts = ["ab" * (1 + i) for i in range(125)]
    blended = Prompts(TextEncoder(counted)).get(" AND ".join(texts))

    assert sum(calls) == 125
    assert len(calls) == 8
    mean = sum(map(len, texts)) / 125
    torch.testing.assert_close(blended, torch.full((1, 2, 3), mean))


def test_what_is_remembered_is_bounded_in_bytes_and_the_newest_stays() -> None:
    made: list[float] = []

    def condition(words: torch.Tensor) -> torch.Tensor:
        made.append(float(words.max()))
        return words * 2

    size = encode(["a"]).numel() * 4
    prompts = Prompts(TextEncoder(encode), condition=condition, room=2 * size)
    for text in ("a", "bb", "a", "ccc", "a", "bb"):  # "bb" had to go for "ccc"
        prompts.prepare(text)
        torch.testing.assert_close(prompts.get(text), 2 * encode([text]))
    assert made == [1, 2, 3, 2]

    narrow = Prompts(TextEncoder(encode), room=1)
    assert narrow.get("a") is narrow.get("a")


def counted(room: int) -> tuple[Prompts, list[float]]:
    """Prompts with room for so many, and what is made of words, by the letters of their texts."""
    made: list[float] = []

    def condition(words: torch.Tensor) -> torch.Tensor:
        made.append(float(words.max()))
        return words * 2

    size = encode(["a"]).numel() * 4
    return Prompts(TextEncoder(encode), condition=condition, room=room * size), made


def test_what_somebody_holds_is_never_made_again_and_goes_with_them() -> None:
    """Twelve people with a prompt and a negative of their own, and room for nineteen."""
    prompts, made = counted(room=19)
    texts = ["a" * (1 + n) for n in range(24)]
    held = {text: prompts.get(text) for text in texts}
    for _ in range(3):
        assert all(prompts.get(text) is held[text] for text in texts)
    assert len(made) == 24

    gone = [weakref.ref(held.pop(text)) for text in texts]
    assert sum(each() is not None for each in gone) == len(prompts._newest) == 19
    assert len(prompts._alive) == 19


def test_what_is_prepared_stays_for_the_next_frame_whatever_others_ask_for_meanwhile() -> None:
    prompts, made = counted(room=3)
    held = [prompts.get("a" * (1 + n)) for n in range(6)]
    prompts.prepare("o" * 10)
    for _ in range(2):
        for each in held:
            assert prompts.get("a" * int(each.max() / 2)) is each
        prompts.prepare("p" * 11)  # by somebody else
    del held

    prompts.get("o" * 10)

    assert made == [1, 2, 3, 4, 5, 6, 10, 11]


def test_a_text_is_encoded_once_however_many_ask() -> None:
    asked: list[str] = []
    entered, leave = threading.Event(), threading.Event()

    def slow(texts: Sequence[str]) -> torch.Tensor:
        asked.extend(texts)
        entered.set()
        leave.wait(5)
        return encode(texts)

    prompts = Prompts(TextEncoder(slow))
    threads = [threading.Thread(target=prompts.get, args=("ink",)) for _ in range(4)]
    for thread in threads:
        thread.start()
    entered.wait(5)
    leave.set()
    for thread in threads:
        thread.join()

    assert asked == ["ink"]


def test_an_unknown_prompt_is_told_with_the_closest_style() -> None:
    prompts = Prompts(TextEncoder(encode, judge), ("Pencil", "Neon"))

    assert prompts.hint("ink") is None
    assert prompts.hint("") is None
    assert prompts.hint("bicycle") == "nothing I know in 'bicycle': closest is Neon"
    assert prompts.hint("ink AND bicycle") == "nothing I know in 'bicycle': closest is Neon"


def test_a_model_that_cannot_judge_says_nothing() -> None:
    assert Prompts(TextEncoder(encode), ("Pencil",)).hint("bicycle") is None
    # another model's list of styles does not fit what the encoder was taught
    assert Prompts(TextEncoder(encode, judge), ("Pencil",)).hint("bicycle") is None
