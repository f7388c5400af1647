"""How well pictures agree with a text, and with each other, to a CLIP model that is at hand.

For reports, never for live pictures. Nothing is fetched: the weights are a folder of the user's.
Source: Radford et al. 2021, arXiv:2103.00020; the middle of a picture is seen, as there.
"""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from pipeline.errors import ModelError

# of what CLIP has seen, by channel
_MEAN = np.array([0.4815, 0.4578, 0.4082], np.float32)
_DEVIATION = np.array([0.2686, 0.2613, 0.2758], np.float32)


def load_text_agreement(folder: Path, text: str) -> "TextAgreement":
    """Read a CLIP model with its tokenizer, as transformers writes them. Raises ModelError."""
    from transformers import CLIPModel, CLIPTokenizer  # seconds

    if not (folder / "config.json").is_file():
        raise ModelError(f"clip {folder}: there is no config.json in it; give a folder of CLIP's")
    try:
        model = CLIPModel.from_pretrained(folder, local_files_only=True, use_safetensors=True)  # nosec B615 - local
        tokenizer = CLIPTokenizer.from_pretrained(folder, local_files_only=True)  # nosec B615 - local
    except (OSError, ValueError, TypeError) as error:
        raise ModelError(f"clip {folder}: {error}") from error
    return TextAgreement(model.eval(), tokenizer, text)


class TextAgreement:
    """Compares pictures with one text, and with each other."""

    def __init__(self, model: Any, tokenizer: Any, text: str) -> None:
        self._model = model  # transformers has no types
        self._words = tokenizer(text, truncation=True, return_tensors="pt")
        self._side: int = model.config.vision_config.image_size

    def of(self, picture: UInt8[np.ndarray, "h w 3"]) -> float:
        """Give 100 times the cosine of the picture's and the text's embeddings."""
        return 100 * float(torch.cosine_similarity(*self._embedded(picture)))

    def alike(self, one: UInt8[np.ndarray, "h w 3"], other: UInt8[np.ndarray, "h w 3"]) -> float:
        """Give 100 times the cosine of two pictures' embeddings: 100 for one that came twice."""
        (first, _), (second, _) = self._embedded(one), self._embedded(other)
        return 100 * float(torch.cosine_similarity(first, second))

    @torch.inference_mode()
    def _embedded(
        self, picture: UInt8[np.ndarray, "h w 3"]
    ) -> tuple[Float[Tensor, "1 k"], Float[Tensor, "1 k"]]:
        found = self._model(**self._words, pixel_values=self._seen(picture))
        return found.image_embeds, found.text_embeds

    def _seen(self, picture: UInt8[np.ndarray, "h w 3"]) -> Float[Tensor, "1 3 y x"]:
        height, width = picture.shape[:2]
        side = min(height, width)
        top, left = (height - side) // 2, (width - side) // 2
        middle = picture[top : top + side, left : left + side].astype(np.float32) / np.float32(255)
        how = cv2.INTER_AREA if side > self._side else cv2.INTER_CUBIC
        small = np.asarray(cv2.resize(middle, (self._side, self._side), interpolation=how))
        normed = (small - _MEAN) / _DEVIATION
        return torch.from_numpy(normed).permute(2, 0, 1)[None]
