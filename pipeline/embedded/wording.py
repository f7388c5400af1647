"""Words to train with: templates round the wordings of a style, and words that mean none."""

import random
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from pipeline.embedded.filters import HARDEST
from pipeline.embedded.styles import STYLES

_TEMPLATES = (
    "{}", "{}", "{}", "a {}", "an {}", "{} style", "in the style of {}", "like {}", "as {}",
    "like a {}", "as a {}", "{} of a person", "a portrait as {}", "me as {}", "make it {}",
    "turn this into {}", "{}, detailed", "beautiful {}", "the room as {}", "{} art", "{} look",
    "{} effect", "this looks like {}", "make me look like {}", "{} please", "i want {}",
    "my face as {}", "a photo turned into {}", "something like {}", "{} filter",
)  # fmt: skip
_WITH_MORE = ("{} with a {}", "{1} in {0} style", "a {1} as {0}", "{}, {}", "{} of a {}",
              "{1} {0}", "{} and {}", "{} for my {}")  # fmt: skip
_BLENDS = ("{} and {}", "half {}, half {}", "{} mixed with {}", "{} meets {}", "{} plus {}",
           "a bit of {}, a bit of {}")  # fmt: skip
_UNKNOWN = ("{}", "{} {}", "a {}", "the {}", "{} and {}", "a {} with a {}", "me as a {}",
            "turn me into a {}", "make it {}", "{} {} {}", "my {} is {}", "like a {}",
            "{} of a person", "a photo of a {}")  # fmt: skip
_NO_PROMPT, _NO_STYLE = 0.06, 0.07  # shares of rows whose picture is to stay as it is
_BLEND, _WEIGHTED = 0.10, 0.12  # of rows blended by words, and by weights of two prompts
_SHARES = [2 if spec.teacher in HARDEST else 1 for spec in STYLES]
_FREQUENT = slice(1996, 11000)  # word pieces of BERT's vocabulary: whole words, commonest first
_ALIKE = 0.5  # cosine from which on a word is taken to mean a style


@dataclass(frozen=True, slots=True)
class Goal:
    """What a row is told and what it is to become: a style, a blend of two, or the source."""

    prompt: str
    other_prompt: str = ""
    prompt_weight: float = 0.0  # of the other prompt
    styles: tuple[int, ...] = ()  # none: the source itself
    weight: float = 0.0  # of the second style

    def picture(self, source: Tensor, styled: Float[Tensor, "meant c h w"]) -> Tensor:
        """Blend the pictures of the styles that are meant; the source where none is."""
        if not self.styles:
            return source
        return torch.lerp(styled[0], styled[-1], self.weight)


class Wordings:
    """Draws prompts. Everything comes from the `random` module's generator."""

    def __init__(self, vocabulary: list[str], table: Float[Tensor, "v d"]) -> None:
        unit = table / table.norm(dim=1, keepdim=True).clamp(min=1e-6)
        said = {w for s in STYLES for text in (s.prompt, *s.wordings) for w in text.split()}
        known = [i for i, piece in enumerate(vocabulary) if piece in said]
        near = (unit @ unit[known].T).amax(1) if known else unit[:, 0]
        first, last = (_FREQUENT.start, _FREQUENT.stop) if len(vocabulary) > 20000 else (2, None)
        self._other = [
            piece
            for piece, likeness in zip(vocabulary[first:last], near[first:last], strict=True)
            if piece.isalpha() and (len(piece) > 2 or last is None) and float(likeness) < _ALIKE
        ]

    def of_style(self, index: int) -> str:
        """Draw words for a style: wordings in a template, words lost, strange ones added."""
        spec = STYLES[index]
        core = random.choice((spec.prompt, spec.name.lower(), *spec.wordings))
        if random.random() < 0.12:
            core = f"{core}, {random.choice(spec.wordings)}"
        if random.random() < 0.22:
            words = random.choice(_WITH_MORE).format(core, random.choice(self._other)).split()
        else:
            words = random.choice(_TEMPLATES).format(core).split()
        if len(words) > 3 and random.random() < 0.15:
            words.pop(random.randrange(len(words)))
        if random.random() < 0.25:  # people say more than the style
            for _ in range(random.randint(1, 3)):
                words.insert(random.choice((0, len(words))), random.choice(self._other))
        return " ".join(words)

    def of_two(self, one: int, other: int) -> str:
        """Draw words for an even blend of two styles."""
        names = (
            random.choice((STYLES[i].name.lower(), STYLES[i].prompt, *STYLES[i].wordings))
            for i in (one, other)
        )
        return random.choice(_BLENDS).format(*names)

    def of_none(self) -> str:
        """Draw words that mean no style."""
        return random.choice(_UNKNOWN).format(*(random.choice(self._other) for _ in range(3)))

    def goal(self) -> Goal:
        """Draw what a row is to become, and its words."""
        one = random.choices(range(len(STYLES)), _SHARES)[0]
        other = random.choice([index for index in range(len(STYLES)) if index != one])
        kinds = ("nothing", "no style", "blend", "weighted", "style")
        shares = (_NO_PROMPT, _NO_STYLE, _BLEND, _WEIGHTED)
        kind = random.choices(kinds, (*shares, 1 - sum(shares)))[0]
        if kind == "nothing":
            return Goal("")
        if kind == "no style":
            return Goal(self.of_none())
        if kind == "blend":
            return Goal(self.of_two(one, other), styles=(one, other), weight=0.5)
        words = self.of_style(one)
        if kind == "weighted":
            weight = random.random()
            return Goal(words, self.of_style(other), weight, (one, other), weight)
        return Goal(words, styles=(one,))
