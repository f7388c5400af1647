"""Teach the text encoder's head which prompts mean none of the styles.

    python -m pipeline.embedded.train_head [--cache .cache/embedded] [--minutes 2] [--smoke]

The stages before teach it beside the pictures, a few prompts a step, of which few mean nothing.
Here nothing else learns, so that a step takes hundreds of prompts, a third of them without a style.
Changes the head in the checkpoint of `distil`.
"""

import argparse
import random
import time
from pathlib import Path

import torch
from torch.nn import functional
from tqdm import tqdm

from pipeline.embedded.distil import begin
from pipeline.embedded.drawing import tokenise
from pipeline.embedded.styles import STYLES
from pipeline.embedded.wording import Goal, Wordings
from pipeline.models.static_text import StaticTextEncoder

_PROMPTS = 256  # a step
_NO_STYLE, _BLEND = 0.35, 0.1
_RATE = 1e-3


def draw(wordings: Wordings) -> Goal:
    """Draw a prompt and the styles that it means."""
    chance = random.random()
    if chance < _NO_STYLE:
        return Goal(wordings.of_none())
    one, other = random.sample(range(len(STYLES)), 2)
    if chance < _NO_STYLE + _BLEND:
        return Goal(wordings.of_two(one, other), styles=(one, other))
    return Goal(wordings.of_style(one), styles=(one,))


def train(text: StaticTextEncoder, seconds: float) -> None:
    """Train the head of a text encoder, and nothing else of it, for a time."""
    assert text.head is not None
    text.requires_grad_(requires_grad=False)
    text.head.requires_grad_()
    wordings = Wordings(text.vocabulary, text.table)
    optimiser = torch.optim.AdamW(text.head.parameters(), lr=_RATE, weight_decay=1e-3)
    started = time.monotonic()
    with tqdm(unit="step", desc="head") as progress:
        while (share := (time.monotonic() - started) / seconds) < 1:
            optimiser.param_groups[0]["lr"] = _RATE * min(1.0, 2 * (1 - share))
            prompts = tokenise(text, [draw(wordings) for _ in range(_PROMPTS)])
            loss = functional.cross_entropy(text.judge(text(prompts.one)), prompts.styles)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            progress.update()
            progress.set_postfix(words=f"{loss.item():.3f}", refresh=False)


def main() -> None:
    """Train for a time; write the head into the checkpoint."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cache", type=Path, default=Path(".cache/embedded"))
    parser.add_argument("--minutes", type=float, default=2)
    parser.add_argument("--smoke", action="store_true", help="a second")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    random.seed(0)
    training = begin(arguments.cache, rate=0.0, device=torch.device("cpu"))
    learnt = training.average.module["text"]
    train(learnt, 1.0 if arguments.smoke else 60 * arguments.minutes)
    training.models["text"].head.load_state_dict(learnt.head.state_dict())
    training.save()


if __name__ == "__main__":
    main()
