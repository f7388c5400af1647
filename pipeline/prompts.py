"""Prompts as the network sees them: encoded once, kept while they are in use, blended by weight."""

import re
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from weakref import WeakValueDictionary

from jaxtyping import Float
from torch import Tensor

# share of "none of them" from which on a prompt means nothing: single words that the embedded model
# knows reach 0.54
_UNKNOWN = 0.6
KEPT_TEXTS = 256  # the words of so many, and at most so many prompts
_AT_ONCE = 16  # texts in one call; the largest encoder keeps 13 MB of layers for each
# bytes of prompts that may be asked for again, beside those that somebody holds; a prompt takes
# 8 MB with SD-Turbo in fp32 and 26 MB with SDXL in fp16
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


class Prompts:
    """Remembers what texts encode to. Any thread may ask; a text is encoded once.

    What somebody still holds, as sessions hold their prompts, is never made again. Of the others
    the newest are kept, up to a bound. `condition` makes of words what the denoiser takes
    (Networks.condition).
    """

    def __init__(
        self,
        encoder: TextEncoder,
        styles: tuple[str, ...] = (),
        condition: Callable[[Float[Tensor, "1 t d"]], Float[Tensor, "1 s k"]] = lambda words: words,
        room: int = KEPT_BYTES,
    ) -> None:
        self._encoder, self._styles, self._condition = encoder, styles, condition
        self._newest: OrderedDict[str, Tensor] = OrderedDict()  # the last one last
        self._alive: WeakValueDictionary[str, Tensor] = WeakValueDictionary()  # these, others' too
        self._words: OrderedDict[str, Tensor] = OrderedDict()  # of single texts; while encoding
        self._room = room
        self._lock = threading.Lock()  # of what is kept; held for a look only
        self._encoding = threading.Lock()  # tokenizers are not safe to share

    def prepare(self, prompt: str) -> None:
        """Encode a prompt if need be, and keep it as the newest until a frame takes it.

        That may take a second with CLIP.
        """
        self._keep(_key(prompt), self.get(prompt))

    def get(self, prompt: str) -> Float[Tensor, "1 s k"]:
        """Give a prompt as the denoiser takes it; encodes it first if nobody has `prepare`d it.

        It does not become the newest: what sessions hold and ask for with every frame would push
        out what was prepared for the next one.
        """
        key = _key(prompt)
        found = self._look_up(key)
        if found is not None:
            return found  # never waits for another text's encoding
        with self._encoding:
            found = self._look_up(key)
            if found is not None:
                return found  # another thread was first
            made = self._encode(key)
            self._keep(key, made)
            return made

    def _keep(self, key: str, made: Float[Tensor, "1 s k"]) -> None:
        with self._lock:
            self._alive[key] = self._newest[key] = made
            self._newest.move_to_end(key)
            # all are of one size; the newest stays in any case
            most = min(KEPT_TEXTS, max(1, self._room // made.nbytes))
            while len(self._newest) > most:
                self._newest.popitem(last=False)

    def _look_up(self, key: str) -> Float[Tensor, "1 s k"] | None:
        with self._lock:
            return self._alive.get(key)

    def _encode(self, prompt: str) -> Float[Tensor, "1 s k"]:
        """Blend texts by their shares."""
        parts = parse_blend(prompt)
        known = self._texts([text for text, _ in parts])
        words = sum(share * known[text] for text, share in parts)
        assert isinstance(words, Tensor)  # a blend has at least one text
        return self._condition(words)

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
        while len(self._words) > KEPT_TEXTS:
            self._words.popitem(last=False)
        return known

    def hint(self, prompt: str) -> str | None:
        """Say so when a prompt means nothing to the model, and which style is the closest."""
        judge = self._encoder.judge
        if judge is None:
            return None
        texts = [text for text, _ in parse_blend(prompt) if text]
        with self._encoding:
            known = self._texts(texts)
        for text in texts:
            shares = judge(known[text])
            if len(shares) == len(self._styles) + 1 and shares[-1] > _UNKNOWN:
                closest = max(range(len(self._styles)), key=shares.__getitem__)
                return f"nothing I know in {text!r}: closest is {self._styles[closest]}"
        return None


def _key(prompt: str) -> str:
    return " ".join(prompt.split())
