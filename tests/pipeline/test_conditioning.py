"""A UNet whose prompts and timesteps were taken care of before is the UNet that it was."""

import copy
from typing import Any

import pytest
import torch
from diffusers import UNet2DConditionModel
from torch import Tensor, nn
from torch.nn import functional

from pipeline.backends.times import Times
from pipeline.errors import ModelError
from pipeline.models.architectures import make_network
from pipeline.models.conditioning import thin_self_attention
from pipeline.models.parts import Denoiser
from tests.pipeline.conftest import POOLED, SIDE, TEXT, apart, make_unet

KINDS: dict[str, dict[str, Any]] = {
    "plain": {},
    "time scales": {"resnet_time_scale_shift": "scale_shift"},
    "words join the timestep": {
        "addition_embed_type": "text", "addition_embed_type_num_heads": 4,
    },
    "sdxl": {
        "addition_embed_type": "text_time", "addition_time_embed_dim": 8,
        "projection_class_embeddings_input_dim": 6 * 8 + POOLED,
    },
    "activated time": {"time_embedding_act_fn": "silu"},
}  # fmt: skip


def made(**config: object) -> UNet2DConditionModel:
    torch.manual_seed(0)
    unet = make_unet(4, 4, **config)
    for module in unet.modules():  # words and timesteps must matter, and biases be there
        if isinstance(module, nn.Linear):
            module.weight.data *= 2
            if module.bias is not None:
                module.bias.data.normal_(0, 0.1)
    return unet.eval()


@torch.inference_mode()
def plain(unet: UNet2DConditionModel, rows: Tensor, times: Tensor, words: Tensor) -> Tensor:
    more = None
    if unet.config.addition_embed_type == "text_time":
        sizes = torch.tensor([[SIDE, SIDE, 0, 0, SIDE, SIDE]]).expand(len(rows), -1)
        more = {"text_embeds": words[:, -1, :POOLED], "time_ids": sizes}
        words = words[:, :-1]
    return unet(rows, times, words, added_cond_kwargs=more).sample


@torch.inference_mode()
def conditioned(denoiser: Denoiser, rows: Tensor, times: Tensor, words: Tensor) -> Tensor:
    """Every prompt and every timestep made by itself, as they are while people watch."""
    prompts = torch.cat([denoiser.text(row[None]) for row in words])
    return denoiser(rows, torch.cat([denoiser.time(at[None]) for at in times]), prompts)


def inputs(rows: int, width: int = TEXT) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(rows)
    return (
        torch.randn(rows, 4, 8, 8, generator=generator),
        torch.linspace(100, 900, rows),
        torch.randn(rows, 7, width, generator=generator),
    )


@pytest.mark.parametrize("fuse", [True, False], ids=["fused", "apart"])
@pytest.mark.parametrize("kind", KINDS)
def test_it_predicts_what_the_unet_predicts(kind: str, fuse: bool) -> None:
    unet = made(**KINDS[kind])
    denoiser = Denoiser(copy.deepcopy(unet), (SIDE, SIDE), fuse)

    for rows in (1, 4):  # each row with a prompt and a timestep of its own
        values = inputs(rows)
        expected = plain(unet, *values)
        assert apart(conditioned(denoiser, *values), expected) < 1e-5
        for part in (1, 2):  # both reach the result
            other = list(values)
            other[part] = other[part].roll(1) * 0.5
            assert apart(conditioned(denoiser, *other), expected) > 1e-3


def test_the_layout_of_sd_turbo_comes_out_the_same() -> None:
    torch.manual_seed(0)
    unet = make_network("mini")
    denoiser = Denoiser(copy.deepcopy(unet), (64, 64))
    values = inputs(2, 64)

    assert apart(conditioned(denoiser, *values), plain(unet, *values)) < 1e-5
    assert denoiser.text(values[2]).shape[-1] == 2 * (5 * 32 + 5 * 64 + 6 * 128)


@pytest.mark.parametrize(("height", "width"), [(8, 8), (8, 16), (7, 5)])
def test_thinned_self_attention_looks_at_every_second_row_and_column(
    height: int, width: int
) -> None:
    unet = made()
    denoiser = Denoiser(unet, (SIDE, SIDE))
    thin_self_attention(unet, 2)
    at = next(block for block in unet.down_blocks if hasattr(block, "attentions"))
    layer = at.attentions[0].transformer_blocks[0].attn1
    seen: list[tuple[Tensor, Tensor]] = []
    layer.register_forward_hook(lambda _, given, result: seen.append((given[0], result)))
    _, times, words = inputs(1)
    conditioned(denoiser, torch.randn(1, 4, height, width), times, words)

    tokens, result = seen[0]
    queries, keys, values = layer.to_qkv(tokens).detach().chunk(3, -1)
    kept = [row * width + column for row in range(0, height, 2) for column in range(0, width, 2)]
    parts = [
        part.unflatten(-1, (layer.heads, -1)).transpose(1, 2)
        for part in (queries, keys[:, kept], values[:, kept])
    ]
    found = functional.scaled_dot_product_attention(*parts).transpose(1, 2).flatten(2)
    assert apart(result, layer.to_out[0](found).detach()) < 1e-5


@pytest.mark.parametrize("stride", [1, 2])
def test_only_the_finest_self_attention_is_thinned(stride: int) -> None:
    unet = make_network("mini")
    denoiser = Denoiser(unet, (64, 64))
    values = inputs(2, 64)
    before = conditioned(denoiser, *values)
    thin_self_attention(unet, stride)

    thinned = [a for a in unet.modules() if type(getattr(a, "processor", 0)).__name__ == "_Thinned"]
    assert len(thinned) == 5  # two on the way down, three on the way up, of sixteen
    assert (apart(conditioned(denoiser, *values), before) < 1e-5) == (stride == 1)


def test_no_weight_is_lost_or_doubled() -> None:
    unet = made()
    count = sum(parameter.numel() for parameter in unet.parameters())

    assert (
        sum(parameter.numel() for parameter in Denoiser(unet, (SIDE, SIDE)).parameters()) == count
    )


def test_a_call_touches_no_weight_of_words_or_timesteps() -> None:
    denoiser = Denoiser(made(), (SIDE, SIDE))
    rows, times, words = inputs(2)
    with torch.inference_mode():
        prompts, at = denoiser.text(words), denoiser.time(times)
        before = denoiser(rows, at, prompts)
        for module in (denoiser.text, denoiser.time):
            for parameter in module.parameters():
                parameter.fill_(torch.nan)

        assert torch.equal(denoiser(rows, at, prompts), before)


def test_a_blend_of_prompts_is_the_prompt_of_the_blend() -> None:
    """So prompts may travel: keys and values are affine in the words."""
    denoiser = Denoiser(made(), (SIDE, SIDE))
    one, other = inputs(2)[2][:, None]
    with torch.inference_mode():
        blended = torch.lerp(denoiser.text(one), denoiser.text(other), 0.3)
        assert apart(blended, denoiser.text(torch.lerp(one, other, 0.3))) < 1e-6


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        ({"class_embed_type": "timestep"}, "class_embed_type 'timestep'; this engine knows None"),
        ({"encoder_hid_dim": 8, "encoder_hid_dim_type": "text_proj"}, "encoder_hid_dim 8"),
        ({"down_block_types": ("DownBlock2D",) * 2, "up_block_types": ("UpBlock2D",) * 2,
          "mid_block_type": None}, "no layer of it looks at words"),
    ],
)  # fmt: skip
def test_a_unet_that_wants_more_than_words_is_refused(
    config: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(ModelError, match=sentence):
        Denoiser(made(**config), (SIDE, SIDE))


def test_a_timestep_is_embedded_once_and_few_are_kept() -> None:
    asked: list[float] = []

    def embed(timesteps: Tensor) -> Tensor:
        asked.extend(timesteps.tolist())
        return timesteps[:, None].expand(-1, 3)

    times = Times(embed, torch.device("cpu"))
    assert times([1.0, 7.5, 1.0])[:, 0].tolist() == [1.0, 7.5, 1.0]
    assert times([7.5]).shape == (1, 3)
    assert asked == [1.0, 7.5]

    for timestep in range(1000, 2000):
        times([float(timestep)])
    assert times([1.0, 1999.0])[:, 0].tolist() == [1.0, 1999.0]
    assert asked.count(1.0) == 2  # forgotten meanwhile
    assert asked.count(1999.0) == 1
