"""The embedded model's text encoder: a table of word pieces and a small mixer."""

import json
from pathlib import Path

import torch
from jaxtyping import Bool, Float, Int
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from tokenizers.models import WordPiece
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer
from torch import Tensor, nn

_PAD = 0  # its id in the vocabulary


class StaticTextEncoder(nn.Module):
    """Word pieces looked up in a frozen table, put into context by one small transformer layer.

    The table is distilled from a sentence encoder (pipeline/embedded/text_table.py), so words
    that mean alike lie close together, also those that training never saw.
    """

    def __init__(
        self,
        vocabulary: list[str],
        table_dim: int = 64,
        dim: int = 128,
        tokens: int = 16,
        styles: int = 0,
    ) -> None:
        super().__init__()
        self.vocabulary, self.table_dim, self.dim, self.tokens = vocabulary, table_dim, dim, tokens
        self.styles = styles
        self.register_buffer("table", torch.zeros(len(vocabulary), table_dim))
        self.table: Tensor
        self.widen = nn.Linear(table_dim, dim)
        self.position = nn.Parameter(torch.zeros(tokens, dim))
        self.nothing = nn.Parameter(torch.zeros(dim))  # stands where the prompt has no more words
        self.mix = nn.TransformerEncoderLayer(
            dim, nhead=4, dim_feedforward=2 * dim, dropout=0.0, batch_first=True, norm_first=True
        )
        self.norm = nn.LayerNorm(dim)
        # which taught style the words mean; the last one is none of them
        self.head = nn.Linear(dim, styles + 1) if styles else None
        pieces = {piece: i for i, piece in enumerate(vocabulary)}
        unknown = "[UNK]"
        self._pieces = Tokenizer(WordPiece(pieces, unk_token=unknown))
        self._pieces.normalizer = BertNormalizer(lowercase=True)
        self._pieces.pre_tokenizer = BertPreTokenizer()

    def token_ids(self, text: str) -> Int[Tensor, "tokens"]:
        """Cut text into word pieces, at most `tokens` of them, filled up with padding."""
        ids = self._pieces.encode(text, add_special_tokens=False).ids[: self.tokens]
        return torch.tensor(ids + [_PAD] * (self.tokens - len(ids)))

    def forward(self, ids: Int[Tensor, "b tokens"]) -> Float[Tensor, "b tokens dim"]:
        """Embed token ids. Padding comes out as one learned vector, so an empty prompt is that."""
        return self.mix_pieces(self.table[ids], ids == _PAD)

    def mix_pieces(
        self, vectors: Float[Tensor, "b tokens d"], padding: Bool[Tensor, "b tokens"]
    ) -> Float[Tensor, "b tokens dim"]:
        """Put looked-up vectors into context; training makes the vectors a little wrong first."""
        pieces = self.widen(vectors) + self.position
        # a row of nothing but padding must attend to something, or its softmax is 0/0
        hidden = padding & ~padding.all(1, keepdim=True)
        mixed = self.norm(self.mix(pieces, src_key_padding_mask=hidden))
        return torch.where(padding[..., None], self.nothing, mixed)

    @torch.no_grad()
    def encode(self, *texts: str) -> Float[Tensor, "n tokens dim"]:
        """Embed prompts, one or more."""
        embedded: Tensor = self(torch.stack([self.token_ids(text) for text in texts]))
        return embedded

    def judge(self, words: Float[Tensor, "b tokens dim"]) -> Float[Tensor, "b styles_and_none"]:
        """Give, from embedded prompts, logits of the taught styles; the last means none of them."""
        if self.head is None:
            raise ValueError("this text encoder was not taught which styles there are")
        logits: Tensor = self.head(words.mean(1))
        return logits

    def save_pretrained(self, folder: Path) -> None:
        """Write config.json, vocab.txt and model.safetensors (fp16; the table int8 with scales)."""
        folder.mkdir(parents=True, exist_ok=True)
        shape = {"table_dim": self.table_dim, "dim": self.dim, "tokens": self.tokens,
                 "styles": self.styles}  # fmt: skip
        (folder / "config.json").write_text(json.dumps(shape, indent=2) + "\n")
        (folder / "vocab.txt").write_text("\n".join(self.vocabulary) + "\n")
        weights = {
            name: value.half().contiguous()
            for name, value in self.state_dict().items()
            if name != "table"
        }
        scale = self.table.abs().amax(1, keepdim=True).clamp(min=1e-6) / 127
        weights["table.int8"] = (self.table / scale).round().to(torch.int8)
        weights["table.scale"] = scale.half()
        save_file(weights, folder / "model.safetensors")

    @classmethod
    def from_pretrained(cls, folder: Path) -> "StaticTextEncoder":
        """Read what `save_pretrained` wrote. Raises OSError, ValueError or SafetensorError."""
        shape = json.loads((folder / "config.json").read_text())
        encoder = cls((folder / "vocab.txt").read_text().splitlines(), **shape)
        weights = load_file(folder / "model.safetensors")
        table = weights.pop("table.int8").float() * weights.pop("table.scale").float()
        encoder.load_state_dict({"table": table} | {k: v.float() for k, v in weights.items()})
        return encoder.eval()
