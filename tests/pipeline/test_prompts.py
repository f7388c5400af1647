import threading
from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor

from pipeline.prompts import _KEPT, Prompts


class Encoder:
    """Encodes a text to its length; remembers the texts and whether two threads ever met in it."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.shared = False
        self._busy = threading.Lock()

    def __call__(self, text: str) -> Tensor:
        if not self._busy.acquire(blocking=False):
            self.shared = True
            return torch.empty(1, 1, 1)
        self.texts.append(text)
        self._busy.release()
        return torch.full((1, 2, 3), float(len(text)))


def test_a_text_is_encoded_once_whatever_its_spaces() -> None:
    encode = Encoder()
    prompts = Prompts(encode)

    first = prompts.get("a  pencil\n drawing ")

    assert prompts.get("a pencil drawing") is first
    assert encode.texts == ["a pencil drawing"]


def test_the_texts_used_longest_ago_are_forgotten() -> None:
    encode = Encoder()
    prompts = Prompts(encode)
    for i in range(_KEPT):
        prompts.get(f"text {i}")
    prompts.get("text 0")
    prompts.get("one more")

    encode.texts.clear()
    prompts.get("text 0")
    assert encode.texts == []
    prompts.get("text 1")
    assert encode.texts == ["text 1"]


def test_eight_threads_get_the_same_and_encode_each_text_once() -> None:
    encode = Encoder()
    prompts = Prompts(encode)
    wanted = [f"{'x' * (i % 20)}" for i in range(400)]

    with ThreadPoolExecutor(8, thread_name_prefix="ThreadPoolExecutor") as pool:
        got = list(pool.map(prompts.get, wanted))

    assert sorted(encode.texts) == sorted(set(wanted))
    assert not encode.shared
    assert all(float(value[0, 0, 0]) == len(text) for value, text in zip(got, wanted, strict=True))


def test_a_known_text_never_waits_for_another_text_to_be_encoded() -> None:
    begun, go_on = threading.Event(), threading.Event()

    def encode(text: str) -> Tensor:
        if text == "slow":
            begun.set()
            assert go_on.wait(20)
        return torch.zeros(1, 1, 1)

    prompts = Prompts(encode)
    prompts.get("known")
    slow = threading.Thread(target=prompts.get, args=("slow",))
    slow.start()
    assert begun.wait(20)

    asker = threading.Thread(target=prompts.get, args=("known",))
    asker.start()
    asker.join(5)
    waited = asker.is_alive()

    go_on.set()
    slow.join()
    asker.join()
    assert not waited


def test_a_text_whose_encoding_failed_is_tried_again() -> None:
    answers = iter([RuntimeError("out of memory"), torch.zeros(1, 1, 1)])

    def encode(text: str) -> Tensor:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    prompts = Prompts(encode)
    try:
        prompts.get("ink")
    except RuntimeError:
        assert prompts.get("ink").shape == (1, 1, 1)
    else:
        raise AssertionError("the first try should have failed")
