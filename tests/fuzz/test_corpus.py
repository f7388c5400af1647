"""Every input that was ever of interest, in every run; and a few hundred mutated ones."""

import random
from pathlib import Path

import pytest

from tests.fuzz.mutation import mutate
from tests.fuzz.targets import FOLDER, TARGETS, ground

SAMPLES = {name: sorted(FOLDER[name].iterdir()) for name in TARGETS}
MUTATED = {"offer": 20, "model": 100, "http": 100, "body": 100, "vp8": 100, "h264": 100}


@pytest.mark.parametrize("target", TARGETS)
async def test_the_corpus_is_accepted_or_refused(target: str, tmp_path: Path) -> None:
    assert SAMPLES[target]
    async with ground(tmp_path) as on:
        for sample in SAMPLES[target]:
            try:
                await TARGETS[target](sample.read_bytes(), on)
            except Exception as error:
                raise AssertionError(f"{sample.name}: {error!r}") from error


@pytest.mark.parametrize("target", TARGETS)
async def test_so_is_what_looks_like_it(target: str, tmp_path: Path) -> None:
    chance = random.Random(0)
    samples = [sample.read_bytes() for sample in SAMPLES[target]]
    async with ground(tmp_path) as on:
        for _ in range(MUTATED.get(target, 300)):
            data = mutate(chance.choice(samples), samples, chance)
            try:
                await TARGETS[target](data, on)
            except Exception as error:
                raise AssertionError(f"{data[:2000]!r}: {error!r}") from error


def test_mutations_differ_and_can_be_repeated() -> None:
    sample = b"v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\n"
    made = [mutate(sample, [b"other"], random.Random(n)) for n in range(50)]
    assert len(set(made)) > 40
    assert made == [mutate(sample, [b"other"], random.Random(n)) for n in range(50)]
