"""What a UNet makes of a prompt alone and of a timestep alone: computed once, not in every call.

Keys and values of cross-attention depend on the words, the projections in residual blocks on the
timestep. Both leave the UNet: `TextConditioning` and `TimeConditioning` hold those layers, and what
they give comes in with each row. So rows of one call may have any prompts, a prompt costs nothing
after its first frame, and a call reads fewer weights (SDXL: 13 % fewer). Keys and values are affine
in the words, so a blend of them is the blend's.

    text, time = TextConditioning(unet, size), TimeConditioning(unet)
    take_conditioning(unet, text)   # from here on the UNet takes what these two give
"""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from pipeline.errors import ModelError

_ADDED = (None, "text", "text_time")
_ONE_VECTOR = ("default", "scale_shift")  # residual blocks that take one projection of the time


class TextConditioning(nn.Module):
    """Words → keys and values of all cross-attention layers, side by side.

    Where a UNet adds something to the embedded timestep that depends on the prompt alone, it is one
    token more, filled up with zeros. For SDXL that is made of the pooled text, which comes as a
    last token of the words, and of six numbers about the picture's size (height and width).
    Raises ModelError for a UNet whose layers want more than words.
    """

    def __init__(self, unet: Any, size: tuple[int, int]) -> None:  # diffusers has no types
        super().__init__()
        _check(unet)
        self.projections = nn.ModuleList(
            layer
            for attention in cross_attention(unet)
            for layer in (attention.to_k, attention.to_v)
        )
        self.kind: str | None = unet.config.addition_embed_type
        self.added = unet.add_embedding if self.kind else None
        self.pooled = 0  # width of the pooled vector, where there is one
        if self.kind == "text_time":
            times = 6 * unet.config.addition_time_embed_dim
            self.pooled = unet.config.projection_class_embeddings_input_dim - times
            self.sizes = unet.add_time_proj
        # original size, no crop, target size (Podell et al. 2023, arXiv:2307.01952, section 2.2)
        self.register_buffer("size", torch.tensor([*size, 0, 0, *size]), persistent=False)
        self.size: Tensor

    def forward(self, words: Float[Tensor, "b t d"]) -> Float[Tensor, "b s k"]:
        """Project, in the precision of the weights."""
        words = words.to(next(self.projections.parameters()).dtype)
        added = self._added(words)
        if self.pooled:
            words = words[:, :-1]
        projected = torch.cat([projection(words) for projection in self.projections], -1)
        if added is None:
            return projected
        width = max(projected.shape[-1], added.shape[-1])
        rows = [functional.pad(part, (0, width - part.shape[-1])) for part in (projected, added)]
        return torch.cat(rows, 1)

    def _added(self, words: Float[Tensor, "b t d"]) -> Float[Tensor, "b 1 e"] | None:
        if self.added is None:
            return None
        given = words
        if self.pooled:
            sizes = self.sizes(self.size).flatten().to(words.dtype).expand(len(words), -1)
            given = torch.cat([words[:, -1, : self.pooled], sizes], -1)
        embedded: Tensor = self.added(given)[:, None]
        return embedded


class TimeConditioning(nn.Module):
    """Timesteps → what the residual blocks add, side by side.

    Where the prompt has a part in it, only the embedding is known beforehand.
    """

    def __init__(self, unet: Any) -> None:  # diffusers has no types
        super().__init__()
        self.proj, self.embedding = unet.time_proj, unet.time_embedding
        plain = unet.time_embed_act is None and unet.config.addition_embed_type is None
        self.blocks = residual_blocks(unet) if plain else []
        self.projections = nn.ModuleList(block.time_emb_proj for block in self.blocks)
        self._activation = self.blocks[0].nonlinearity if self.blocks else nn.Identity()

    def forward(self, timesteps: Float[Tensor, "b"]) -> Float[Tensor, "b e"]:
        """Embed and project, in the precision of the weights."""
        weight = self.embedding.linear_1.weight
        embedded: Tensor = self.embedding(self.proj(timesteps).to(weight.dtype))
        if not self.blocks:
            return embedded
        active = self._activation(embedded)
        return torch.cat([projection(active) for projection in self.projections], -1)


def take_conditioning(unet: Any, text: TextConditioning, time: TimeConditioning) -> None:
    """Make a UNet take what these give: as its words, and as its `timestep_cond`."""
    start = 0
    for attention in cross_attention(unet):
        width = attention.to_k.out_features
        attention.set_processor(_GivenText(start, width))
        start += 2 * width
    start = 0
    for block in time.blocks:
        width = block.time_emb_proj.out_features
        block.time_emb_proj, block.skip_time_act = _Part(start, width), True
        start += width
    unet.time_proj, unet.time_embedding = nn.Identity(), _GivenTime()
    unet.register_to_config(addition_embed_type=None)


def fuse_self_attention(unet: Any) -> None:
    """Make queries, keys and values of each self-attention layer one multiplication."""
    for attention in _attention(unet):
        if attention.is_cross_attention or not _is_plain(attention):
            continue
        attention.to_qkv = _side_by_side(attention.to_q, attention.to_k, attention.to_v)
        del attention.to_q, attention.to_k, attention.to_v
        attention.set_processor(_Fused())


def thin_self_attention(unet: Any, stride: int) -> None:
    """Let the finest self-attention look at every `stride`-th row and column only.

    Its cost grows with the fourth power of a picture's side. Queries stay, so nothing gets coarser:
    token downsampling (Smith et al. 2024, arXiv:2402.13573). Wants `fuse_self_attention` before.
    """
    at = next(i for i, block in enumerate(unet.down_blocks) if hasattr(block, "attentions"))
    for block in (unet.down_blocks[at], unet.up_blocks[-1 - at]):
        for layers in getattr(block, "attentions", ()):
            for attention in _attention(layers):
                if isinstance(attention.processor, _Fused):
                    attention.set_processor(_Thinned(layers, stride))


def cross_attention(unet: Any) -> list[Any]:
    """List the layers that look at the words."""
    return [attention for attention in _attention(unet) if attention.is_cross_attention]


def residual_blocks(unet: Any) -> list[Any]:
    """List the blocks that project the embedded timestep, if all do so in the known way."""
    if unet.config.resnet_time_scale_shift not in _ONE_VECTOR:
        return []
    return [m for m in unet.modules() if isinstance(getattr(m, "time_emb_proj", None), nn.Linear)]


def _attention(unet: Any) -> list[Any]:
    from diffusers.models.attention_processor import Attention

    return [module for module in unet.modules() if isinstance(module, Attention)]


def _is_plain(attention: Any) -> bool:
    """Say whether a layer does nothing but attend."""
    extras = (attention.group_norm, attention.spatial_norm, attention.norm_cross)
    added = getattr(attention, "added_kv_proj_dim", None)
    return not any((*extras, added, attention.residual_connection))


def _check(unet: Any) -> None:
    config = unet.config
    for name, allowed in (
        ("addition_embed_type", _ADDED), ("class_embed_type", (None,)),
        ("num_class_embeds", (None,)), ("encoder_hid_dim", (None,)),
    ):  # fmt: skip
        if config[name] not in allowed:
            known = ", ".join(str(value) for value in allowed)
            raise ModelError(f"unet: {name} {config[name]!r}; this engine knows {known}")
    if not cross_attention(unet):
        raise ModelError("unet: no layer of it looks at words, so no prompt would matter")
    if not all(_is_plain(attention) for attention in cross_attention(unet)):
        raise ModelError("unet: its attention wants more than words; this engine gives it words")


def _side_by_side(*layers: nn.Linear) -> nn.Linear:
    """Join linear layers of one input into one."""
    first = layers[0]
    width = sum(layer.out_features for layer in layers)
    joined = nn.Linear(first.in_features, width, first.bias is not None, device="meta")
    joined.weight = nn.Parameter(torch.cat([layer.weight for layer in layers]), False)
    if first.bias is not None:
        joined.bias = nn.Parameter(torch.cat([layer.bias for layer in layers]), False)
    return joined


class _GivenText:
    """Attention over keys and values that are given: its own start at a column."""

    def __init__(self, start: int, width: int) -> None:
        self._start, self._width = start, width

    def __call__(
        self, attn: Any, hidden_states: Tensor, encoder_hidden_states: Tensor, **_: Any
    ) -> Float[Tensor, "b t w"]:
        """See diffusers' AttnProcessor2_0."""
        keys, values = encoder_hidden_states.narrow(-1, self._start, 2 * self._width).chunk(2, -1)
        return _attend(attn, attn.to_q(hidden_states), keys, values)


class _Fused:
    """Self-attention with one multiplication; no function: torch.compile would stop at it."""

    def __call__(
        self, attn: Any, hidden_states: Tensor, *_: Any, **__: Any
    ) -> Float[Tensor, "b t w"]:
        """See diffusers' FusedAttnProcessor2_0."""
        return _attend(attn, *attn.to_qkv(hidden_states).chunk(3, -1))


class _Thinned:
    """The same with keys and values of some tokens."""

    def __init__(self, layers: nn.Module, stride: int) -> None:
        self._stride, self._size = stride, torch.Size((0, 0))
        layers.register_forward_pre_hook(
            self._look
        )  # the tokens of a row do not say how long it is

    def _look(self, _: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        self._size = inputs[0].shape[-2:]

    def __call__(
        self, attn: Any, hidden_states: Tensor, *_: Any, **__: Any
    ) -> Float[Tensor, "b t w"]:
        """See `_Fused`."""
        layer, stride = attn.to_qkv, self._stride
        width = layer.out_features // 3
        bias = (None, None) if layer.bias is None else (layer.bias[:width], layer.bias[width:])
        rows = hidden_states.view(len(hidden_states), *self._size, -1)
        seen = rows[:, ::stride, ::stride].flatten(1, 2)
        queries = functional.linear(hidden_states, layer.weight[:width], bias[0])
        keys, values = functional.linear(seen, layer.weight[width:], bias[1]).chunk(2, -1)
        return _attend(attn, queries, keys, values)


def _attend(attn: Any, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    parts = (queries, keys, values)
    queries, keys, values = (
        part.view(*part.shape[:2], attn.heads, -1).transpose(1, 2) for part in parts
    )
    if attn.norm_q is not None:
        queries, keys = attn.norm_q(queries), attn.norm_k(keys)
    found = functional.scaled_dot_product_attention(queries, keys, values)
    output: Tensor = attn.to_out[0](found.transpose(1, 2).flatten(2)) / attn.rescale_output_factor
    return output


class _Part(nn.Module):
    """In the place of a block's projection: its part of what was projected."""

    def __init__(self, start: int, width: int) -> None:
        super().__init__()
        self._start, self._width = start, width

    def forward(self, times: Float[Tensor, "b e"]) -> Float[Tensor, "b w"]:
        """Cut out."""
        return times.narrow(-1, self._start, self._width)


class _GivenTime(nn.Module):
    """In the place of the embedding of timesteps: what was made of them before."""

    def forward(self, _: Tensor, times: Float[Tensor, "b e"]) -> Float[Tensor, "b e"]:
        """Give it on."""
        return times
