"""Prompts as the network sees them: encoded once, kept while they are in use, blended by weight."""

import re
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

# share of "none of them" from which on a prompt means nothing: at 0.5 one in ten of the embedded
# model's own wordings would be told so, at 0.7 none
_UNKNOWN = 0.7
_KEPT = 256  # texts; 300 kB each at 77 × 1024 in fp32
_HEAVIEST = 1e6  # beyond the range of floats shares would be no numbers
_WEIGHT = re.compile(r"^(?P<text>.*?)\s*:\s*(?P<weight>\d*\.?\d+)\s*$", re.DOTALL)


@dataclass(frozen=True, slots=True)
class TextEncoder:
    """A model's way from words to vectors."""

    encode: Callable[[str], Float[Tensor, "1 t d"]]
    # shares of the styles that the model was taught, the last of none of them; few models know
    judge: Callable[[Float[Tensor, "1 t d"]], list[float]] | None = None


def parse_blend(prompt: str) -> list[tuple[str, float]]:
    """Split "ink:2 AND neon:1" into texts and their shares, which sum to 1.

    Without a weight a text counts 1, and none counts more than a million. A side of AND that is
    empty, as while somebody types, or has the weight 0 is left out. A prompt without AND is one
    text, whatever else it holds.
    """
    parts = [" ".join(part.split()) for part in re.split(r"\bAND\b", prompt)]
    if len(parts) == 1:
        return [(parts[0], 1.0)]
    found = (_WEIGHT.match(part) for part in parts)
    weighted = [
        (match["text"], min(float(match["weight"]), _HEAVIEST)) if match else (part, 1.0)
        for part, match in zip(parts, found, strict=True)
    ]
    counted = [(text, weight) for text, weight in weighted if text and weight > 0]
    total = sum(weight for _, weight in counted)
    return [(text, weight / total) for text, weight in counted] or [("", 1.0)]


class Prompts:
    """Remembers what texts encode to. Any thread may ask; a text is encoded once."""

    def __init__(self, encoder: TextEncoder, styles: tuple[str, ...] = ()) -> None:
        self._encoder, self._styles = encoder, styles
        self._kept: OrderedDict[str, Tensor] = OrderedDict()
        self._lock = threading.Lock()  # of what is kept; held for a look only
        self._encoding = threading.Lock()  # tokenizers are not safe to share

    def get(self, prompt: str) -> Float[Tensor, "1 t d"]:
        """Give a prompt's embedding; encodes it if need be, which may take a second with CLIP."""
        key = " ".join(prompt.split())
        kept = self._look_up(key)
        if kept is not None:
            return kept  # never waits for another text's encoding
        with self._encoding:
            kept = self._look_up(key)
            if kept is not None:
                return kept  # another thread was first
            embedded = sum(share * self._text(text) for text, share in parse_blend(key))
            assert isinstance(embedded, Tensor)
            self._keep(key, embedded)
            return embedded

    def hint(self, prompt: str) -> str | None:
        """Say so when a prompt means nothing to the model, and which style is the closest."""
        if self._encoder.judge is None:
            return None
        for text, _ in parse_blend(prompt):
            shares = self._encoder.judge(self.get(text)) if text else [0.0]
            if len(shares) == len(self._styles) + 1 and shares[-1] > _UNKNOWN:
                closest = max(range(len(self._styles)), key=shares.__getitem__)
                return f"nothing I know in {text!r}: closest is {self._styles[closest]}"
        return None

    def _text(self, text: str) -> Float[Tensor, "1 t d"]:
        """Give one text of a blend: a slider between two of them encodes neither again."""
        kept = self._look_up(text)
        if kept is None:
            kept = self._encoder.encode(text)
            self._keep(text, kept)
        return kept

    def _keep(self, key: str, embedded: Tensor) -> None:
        with self._lock:
            self._kept[key] = embedded
            if len(self._kept) > _KEPT:
                self._kept.popitem(last=False)

    def _look_up(self, key: str) -> Tensor | None:
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
            return self._kept.get(key)
