"""Prompts as the network sees them: encoded once, kept while they are in use, blended by weight."""

import re
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

# share of "none of them" from which on a prompt means nothing: single words that the embedded model
# knows reach 0.54
_UNKNOWN = 0.6
_KEPT = 256  # prompts
_AT_ONCE = 16  # texts in one call; the largest encoder keeps 13 MB of layers for each
# bytes; a prompt takes 8 MB with SD-Turbo in fp32 and 26 MB with SDXL in fp16
KEPT_BYTES = 512 << 20
_HEAVIEST = 1e6  # beyond the range of floats shares would be no numbers
_WEIGHT = re.compile(r"^(?P<text>.*?)\s*:\s*(?P<weight>\d*\.?\d+)\s*$", re.DOTALL)


@dataclass(frozen=True, slots=True)
class TextEncoder:
    """A model's way from words to vectors."""

    encode: Callable[[Sequence[str]], Float[Tensor, "n t d"]]
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


@dataclass(frozen=True, slots=True)
class Kept:
    """A prompt that was encoded."""

    words: Float[Tensor, "1 t d"]
    conditioned: Float[Tensor, "1 s k"]  # what the denoiser takes


class Prompts:
    """Remembers what texts encode to. Any thread may ask; a text is encoded once.

    `condition` makes of words what the denoiser takes (Networks.condition).
    """

    def __init__(
        self,
        encoder: TextEncoder,
        styles: tuple[str, ...] = (),
        condition: Callable[[Float[Tensor, "1 t d"]], Float[Tensor, "1 s k"]] = lambda words: words,
        room: int = KEPT_BYTES,
    ) -> None:
        self._encoder, self._styles, self._condition = encoder, styles, condition
        self._kept: OrderedDict[str, Kept] = OrderedDict()
        self._words: OrderedDict[str, Tensor] = OrderedDict()  # of single texts; while encoding
        self._room = room
        self._lock = threading.Lock()  # of what is kept; held for a look only
        self._encoding = threading.Lock()  # tokenizers are not safe to share

    def get(self, prompt: str) -> Float[Tensor, "1 s k"]:
        """Give a prompt as the denoiser takes it; encodes it first if need be.

        That may take a second with CLIP.
        """
        return self._get(prompt).conditioned

    def _get(self, prompt: str) -> Kept:
        key = " ".join(prompt.split())
        kept = self._look_up(key)
        if kept is not None:
            return kept  # never waits for another text's encoding
        with self._encoding:
            kept = self._look_up(key)
            if kept is not None:
                return kept  # another thread was first
            kept = self._encode(key)
            with self._lock:
                self._kept[key] = kept
                # all are of one size; the newest stays in any case
                most = min(_KEPT, max(1, self._room // kept.conditioned.nbytes))
                while len(self._kept) > most:
                    self._kept.popitem(last=False)
            return kept

    def _encode(self, prompt: str) -> Kept:
        """Blend texts by their shares."""
        parts = parse_blend(prompt)
        known = self._texts([text for text, _ in parts])
        words = sum(share * known[text] for text, share in parts)
        assert isinstance(words, Tensor)  # a blend has at least one text
        return Kept(words, self._condition(words))

    def _texts(self, texts: list[str]) -> dict[str, Float[Tensor, "1 t d"]]:
        """Give the words of each text, new ones many in a call.

        They are kept apart from blends: a slider between two texts encodes neither again.
        """
        for text in texts:
            if text in self._words:
                self._words.move_to_end(text)
        known = {text: self._words[text] for text in texts if text in self._words}
        new = [text for text in dict.fromkeys(texts) if text not in known]
        for start in range(0, len(new), _AT_ONCE):
            some = new[start : start + _AT_ONCE]
            known |= zip(some, self._encoder.encode(some).unsqueeze(1), strict=True)
        self._words |= {text: known[text] for text in new}
        while len(self._words) > _KEPT:
            self._words.popitem(last=False)
        return known

    def hint(self, prompt: str) -> str | None:
        """Say so when a prompt means nothing to the model, and which style is the closest."""
        if self._encoder.judge is None:
            return None
        for text, _ in parse_blend(prompt):
            shares = self._encoder.judge(self._get(text).words) if text else [0.0]
            if len(shares) == len(self._styles) + 1 and shares[-1] > _UNKNOWN:
                closest = max(range(len(self._styles)), key=shares.__getitem__)
                return f"nothing I know in {text!r}: closest is {self._styles[closest]}"
        return None

    def _look_up(self, key: str) -> Kept | None:
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
            return self._kept.get(key)
