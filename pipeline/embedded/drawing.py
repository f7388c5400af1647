"""Rows to train on, cut from the rendered pictures."""

import random
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from pipeline.embedded.filters import ON_A_GRID
from pipeline.embedded.styles import STYLES
from pipeline.embedded.train_autoencoder import Pictures
from pipeline.embedded.wording import Goal, Wordings
from pipeline.models.static_text import StaticTextEncoder

FAR = 8  # pixels between the two pictures of a pair, at most
_STEP = 32  # crops start at multiples of this, where the filters' patterns begin
_SENSOR_NOISE = 5.0 / 127.5  # five grey levels, at most


@dataclass(slots=True)
class Prompts:
    """Each row's words: two prompts, how much of the second, and which styles they mean."""

    one: Int[Tensor, "b tokens"]
    other: Int[Tensor, "b tokens"]
    weight: Float[Tensor, "b"]
    styles: Float[Tensor, "b styles_and_none"]


@dataclass(slots=True)
class Rows:
    """Pictures in -1 .. 1, and noise.

    A start lies a share `along` of the way from the source to the styled picture. In pairs, rows
    2i and 2i+1 show the same, `shifts[i]` pixels apart.
    """

    source: Float[Tensor, "b 3 h w"]
    styled: Float[Tensor, "b 3 h w"]
    noise: Float[Tensor, "steps b c h8 w8"]
    along: Float[Tensor, "b"]
    shifts: list[tuple[int, int]]
    prompts: Prompts


class Drawn:
    """Draws rows; all random numbers come from the generators of `random` and torch."""

    def __init__(self, cache: Path, text: StaticTextEncoder, channels: int) -> None:
        self._stacks = Pictures(cache / "styled").stacks
        self._text, self._channels = text, channels
        self._wordings = Wordings(text.vocabulary, text.table.cpu())
        self._on_a_grid = {i for i, s in enumerate(STYLES) if s.teacher in ON_A_GRID}

    def rows(self, count: int, side: int) -> Rows:
        """Draw rows of their own, whose starts lie anywhere between source and styled picture."""
        drawn = []
        for _ in range(count):
            goal = self._wordings.goal()
            cut = self._cut(side, goal)
            along = random.choices((0.0, 1.0, random.random()), (0.7, 0.12, 0.18))[0]
            drawn.append((cut, goal, torch.randn(2, self._channels, side // 8, side // 8), along))
        return self._gather(drawn, [])

    def pairs(self, count: int, side: int) -> Rows:
        """Draw pairs: the same a few pixels further, the noise carried along."""
        drawn, shifts = [], []
        for _ in range(count):
            goal = self._wordings.goal()
            cut = self._cut(side + FAR, goal)
            shift = self._shift(set(goal.styles))
            shifts.append(shift)
            for (dy, dx), noise in zip(
                ((0, 0), shift), carried_noise(self._channels, side, shift), strict=True
            ):
                moved = cut[:, dy : dy + side, dx : dx + side]
                drawn.append((moved, goal, noise, 0.0))
        return self._gather(drawn, shifts)

    def _shift(self, styles: set[int]) -> tuple[int, int]:
        if styles & self._on_a_grid:  # stays on the screen when the picture moves
            return 0, 0
        return random.randint(0, FAR), random.randint(0, FAR)

    def _cut(self, side: int, goal: Goal) -> np.ndarray:
        """Cut the source and the styles that are meant: [1 + styles, side, side, 3]."""
        stack = self._stacks[random.randrange(len(self._stacks))]
        top, left = (_STEP * random.randint(0, (stack.shape[1] - side) // _STEP) for _ in "yx")
        wanted = [0, *(1 + style for style in goal.styles)]
        return np.stack([stack[i, top : top + side, left : left + side] for i in wanted])

    def _gather(
        self,
        drawn: list[tuple[np.ndarray, Goal, Tensor, float]],
        shifts: list[tuple[int, int]],
    ) -> Rows:
        source, styled = [], []
        for cut, goal, *_ in drawn:
            crop = torch.from_numpy(cut).permute(0, 3, 1, 2).float() / 127.5 - 1
            level = _SENSOR_NOISE * random.random() * (random.random() < 0.7)
            source.append(crop[0] + level * torch.randn_like(crop[0]))
            styled.append(goal.picture(source[-1], crop[1:]))
        return Rows(
            torch.stack(source),
            torch.stack(styled),
            torch.stack([noise for _, _, noise, _ in drawn], 1),
            torch.tensor([along for *_, along in drawn]),
            shifts,
            tokenise(self._text, [goal for _, goal, *_ in drawn]),
        )


def carried_noise(channels: int, side: int, shift: tuple[int, int]) -> list[Tensor]:
    """Give white noise for two frames, the second's moved by whole pixels: 2 × [2 steps, c, h, w].

    A fine field is cut twice and each eight by eight pixels are summed: both are white, and they
    agree as far as the two pictures overlap.
    """
    fine = torch.randn(2, channels, side + FAR, side + FAR)
    cuts = (fine[..., dy : dy + side, dx : dx + side].contiguous() for dy, dx in ((0, 0), shift))
    return [8 * functional.avg_pool2d(cut, 8) for cut in cuts]


def tokenise(text: StaticTextEncoder, goals: list[Goal]) -> Prompts:
    """Turn drawn words into tensors."""
    styles = torch.zeros(len(goals), len(STYLES) + 1)
    for row, goal in zip(styles, goals, strict=True):
        # the first prompt alone is judged
        meant = goal.styles[:1] if goal.other_prompt else goal.styles
        row[list(meant) or [-1]] = 1 / max(len(meant), 1)
    return Prompts(
        torch.stack([text.token_ids(goal.prompt) for goal in goals]),
        torch.stack([text.token_ids(goal.other_prompt) for goal in goals]),
        torch.tensor([goal.prompt_weight for goal in goals]),
        styles,
    )
