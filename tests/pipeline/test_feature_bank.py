"""The bank of attention features (acceptance tests T4), on tiny UNets with random weights."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import UNet2DConditionModel, UNet2DModel
from torch import Tensor, nn

from pipeline.backends import choose_backend
from pipeline.backends.eager import EagerNetworks
from pipeline.config import EngineConfig
from pipeline.engine import Engine
from pipeline.errors import ConfigError
from pipeline.feature_bank import BankedDenoiser, FeatureBank, Row, Scenes
from pipeline.models.folder import open_folder
from pipeline.params import StyleParams
from pipeline.results import Image
from pipeline.shelves import Merging, Shelf, Shelves, merged
from tests.pipeline.conftest import (
    FAMILIES,
    TEXT,
    Bench,
    apart,
    drain,
    levels_apart,
    make_unet,
    moving,
    noting_latents,
    picture,
)

INK = StyleParams(prompt="ink", strength=0.8, steps=1, guidance_scale=1.0)
GUIDED = replace(INK, steps=2, guidance_scale=2.0, negative_prompt="oil")


@pytest.fixture(scope="module")
def unet() -> UNet2DConditionModel:
    torch.manual_seed(0)
    made = make_unet(4, 4)
    for name, module in made.named_modules():
        if "attn1.to_" in name and isinstance(module, torch.nn.Linear):
            module.weight.data *= 4  # so that self-attention matters
    return made


def drawn(seed: int) -> Tensor:
    return torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(seed))


def row(session: str = "ann", step: int = 0, look: str = "ink") -> Row:
    return Row(session, step, 0, look)


class Plain(nn.Module):
    """A UNet as it is, with the face of a denoiser."""

    def __init__(self, unet: UNet2DConditionModel) -> None:
        super().__init__()
        self.unet = unet

    def forward(self, rows: Tensor, times: Tensor, prompts: Tensor) -> Tensor:
        predicted: Tensor = self.unet(rows, times[:, 0], prompts).sample
        return predicted


def values(*frames: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    count = len(frames)
    return torch.cat(frames), torch.full((count, 1), 300.0), torch.ones(count, 3, TEXT)


@torch.inference_mode()
def predict(unet: UNet2DConditionModel, *frames: Tensor) -> Tensor:
    predicted: Tensor = Plain(unet)(*values(*frames))
    return predicted


@torch.inference_mode()
def together(
    bank: FeatureBank, unet: UNet2DConditionModel, frames: list[Tensor], whose: list[Row]
) -> Tensor:
    """One call, as a backend makes it."""
    denoiser = BankedDenoiser(Plain(unet), bank)

    def run(shelves: Shelves, *given: Tensor) -> Tensor:
        predicted, features = denoiser(*given, *shelves.gather())
        shelves.keep(features)
        return predicted

    with bank.rows(whose):
        return bank.in_turns(run, *values(*frames))


def banked(bank: FeatureBank, unet: UNet2DConditionModel, frame: Tensor, whose: Row) -> Tensor:
    return together(bank, unet, [frame], [whose])


@pytest.fixture
def bank(unet: UNet2DConditionModel):  # type: ignore[no-untyped-def]  # yields a FeatureBank
    made = FeatureBank(unet, 2)
    made.inject()
    yield made
    made.eject()


def test_in_and_out_again_is_the_same_unet_bit_for_bit(unet: UNet2DConditionModel) -> None:
    before, processors = predict(unet, drawn(0)), dict(unet.attn_processors)
    bank = FeatureBank(unet, 2)
    bank.inject()
    bank.inject()  # twice changes nothing
    banked(bank, unet, drawn(0), row())
    within = predict(unet, drawn(0))  # outside of `rows`
    bank.eject()

    assert torch.equal(before, within)
    assert torch.equal(before, predict(unet, drawn(0)))
    assert all(unet.attn_processors[name] is kept for name, kept in processors.items())


def test_a_bank_of_the_same_frame_changes_nothing(
    unet: UNet2DConditionModel, bank: FeatureBank
) -> None:
    first, *others = [banked(bank, unet, drawn(0), row()) for _ in range(4)]

    for other in others:  # every key stands there twice or more: softmax does not see it
        torch.testing.assert_close(other, first, atol=1e-5, rtol=0)


def test_a_bank_of_another_frame_changes_the_result(
    unet: UNet2DConditionModel, bank: FeatureBank
) -> None:
    plain = banked(bank, unet, drawn(1), row("ben"))
    banked(bank, unet, drawn(0), row())

    assert (banked(bank, unet, drawn(1), row()) - plain).abs().max() > 1e-2


def test_sessions_and_steps_and_looks_have_banks_of_their_own(
    unet: UNet2DConditionModel, bank: FeatureBank
) -> None:
    alone = banked(bank, unet, drawn(1), row("alone"))
    banked(bank, unet, drawn(0), row("ann"))

    for other in (row("ben"), row("ann", step=1), row("ann", look="oil")):
        torch.testing.assert_close(banked(bank, unet, drawn(1), other), alone)


def test_a_row_of_a_batch_is_what_it_is_alone(
    unet: UNet2DConditionModel, bank: FeatureBank
) -> None:
    """Ann's bank is fuller than Ben's, and Cem's is empty."""
    for session in ("ann", "ben", "ann alone", "ben alone"):
        for number in range(2 if session.startswith("ann") else 1):
            seed = number if session.startswith("ann") else 10
            banked(bank, unet, drawn(seed), row(session))

    rows = [row("ann"), row("ben"), row("cem")]
    shared = together(bank, unet, [drawn(5), drawn(6), drawn(7)], rows)

    for place, session in enumerate(("ann alone", "ben alone", "cem alone")):
        alone = banked(bank, unet, drawn(5 + place), row(session))
        torch.testing.assert_close(shared[place : place + 1], alone, atol=1e-5, rtol=1e-4)


def test_frames_of_one_session_in_one_call_are_what_they_are_one_by_one(
    unet: UNet2DConditionModel,
) -> None:
    """The later one sees the earlier one; a new look does not."""
    looks = ("ink", "ink", "oil", "oil")
    for fusion in (0.0, 0.75):
        bank = FeatureBank(unet, 2, fusion, 0.5)
        bank.inject()
        try:
            whose = [row("one by one", look=look) for look in looks]
            apart = [banked(bank, unet, drawn(n), each) for n, each in enumerate(whose)]
            whose = [row("at once", look=look) for look in looks]
            at_once = together(bank, unet, [drawn(n) for n in range(4)], whose)
        finally:
            bank.eject()

        torch.testing.assert_close(at_once, torch.cat(apart), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("merged_every", [0, 4])
@pytest.mark.parametrize("count", [40, pytest.param(1000, marks=pytest.mark.long)])
def test_it_stays_as_large_as_it_is_and_closing_frees_it(
    unet: UNet2DConditionModel, count: int, merged_every: int
) -> None:
    bank = FeatureBank(unet, 1 if merged_every else 2, merged_every=merged_every)
    bank.inject()
    sizes, half = [], count // 2
    try:
        for number in range(count):
            banked(bank, unet, drawn(number), row(look="ink" if number < half else "oil"))
            sizes.append(bank.size)
    finally:
        bank.eject()

    assert sizes[0] > 0
    assert set(sizes) == {sizes[0]}
    bank.forget("ann")
    assert bank.size == 0


def test_fusion_draws_similar_features_together_and_nothing_at_a_likeness_of_one(
    unet: UNet2DConditionModel,
) -> None:
    outputs = {}
    for fusion, likeness in ((0.0, 0.9), (0.75, -1.0), (0.75, 1.0)):
        bank = FeatureBank(unet, 1, fusion, likeness)
        bank.inject()
        banked(bank, unet, drawn(0), row())
        outputs[fusion, likeness] = banked(bank, unet, drawn(1), row())
        bank.eject()

    assert torch.equal(outputs[0.75, 1.0], outputs[0.0, 0.9])
    assert (outputs[0.75, -1.0] - outputs[0.0, 0.9]).abs().max() > 1e-3
    past = torch.tensor([[[1.0, 0.0], [0.0, 2.0]]])
    given = torch.tensor([[[0.1, 1.0], [1.0, -1.0]]])
    fused = FeatureBank(unet, 1, 0.5, 0.9).fuse(given, past)
    torch.testing.assert_close(fused, torch.tensor([[[0.05, 1.5], [1.0, -1.0]]]))


def test_rows_that_were_not_announced_are_refused(
    unet: UNet2DConditionModel, bank: FeatureBank
) -> None:
    with pytest.raises(ValueError, match="2 rows in the call, 1"):
        together(bank, unet, [drawn(0), drawn(1)], [row()])


def test_a_unet_without_self_attention_is_refused() -> None:
    plain = UNet2DModel(
        block_out_channels=(8, 8), norm_num_groups=4, layers_per_block=1, add_attention=False,
        down_block_types=("DownBlock2D",) * 2, up_block_types=("UpBlock2D",) * 2,
    )  # fmt: skip

    with pytest.raises(ConfigError, match=r"feature_bank 2.*no self-attention.*0"):
        FeatureBank(plain, 2)


def test_only_a_cut_begins_another_scene() -> None:
    scenes = Scenes()
    slow = [scenes.follow(picture(0)) for _ in range(3)]

    assert slow == [0, 0, 0]
    assert scenes.follow(255 - picture(0)) == 1


# --- merged ----------------------------------------------------------------------------------


def tokens(seed: int, count: int = 64, parts: int = 2, width: int = 16) -> Tensor:
    return torch.randn(parts, count, width, generator=torch.Generator().manual_seed(seed))


def chance(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_merging_is_what_one_token_after_the_other_gives() -> None:
    """T4.3: as many tokens as one frame has; keys say who joins whom, in all parts."""
    kept, newest = tokens(0, parts=3), tokens(1, parts=3)
    order = torch.randperm(128, generator=chance(5))
    both = torch.cat([kept, newest], 1)[:, order].unbind(1)
    groups = [[token] for token in both[:64]]
    for token in both[64:]:
        alike = [torch.cosine_similarity(token[0], group[0][0], dim=0) for group in groups]
        groups[int(torch.stack(alike).argmax())].append(token)

    found = merged(kept, newest, chance(5))

    expected = torch.stack([torch.stack(group).mean(0) for group in groups], 1)
    assert found.shape == kept.shape
    torch.testing.assert_close(found, expected)
    assert max(map(len, groups)) > 2  # some share a place


def test_merging_keeps_the_mean_nearly_and_what_is_alike_apart_from_what_is_not() -> None:
    """T4.3, of a picture with a few kinds of tokens, which flicker; merged again and again."""
    kinds, random = 5 * tokens(0, 8), chance(1)

    def frame() -> Tensor:
        return kinds.repeat(1, 16, 1) + 0.3 * torch.randn(2, 128, 16, generator=random)

    kept = frame()
    for _ in range(20):
        newest = frame()
        kept = merged(kept, newest, random)
        assert kept.isfinite().all()
        moved = (kept.mean(1) - newest.mean(1)).norm(dim=-1)
        assert float(moved.max()) < 0.2 * float(newest.norm(dim=-1).mean())
    gaps = (kept[:, :, None] - kinds[:, None]).norm(dim=-1)
    nearest = gaps.min(-1)
    assert float(nearest.values.max()) < 3  # kinds are over 20 apart: none is a mixture
    assert torch.equal(nearest.indices[0], nearest.indices[1])  # values stay with their keys
    assert len(nearest.indices[0].unique()) == 8  # none is lost


def shelf(every: int, anchored: bool = False, seed: tuple[int, ...] = (2, 0)) -> Shelf:
    merging = Merging(every)
    merging.layers = [(2, 64, 16), (3, 16, 32)]
    return Shelf("ink", 1 + anchored, anchored, merging, seed)


def left(seed: int) -> Tensor:
    """What a frame leaves: a row of numbers of two layers."""
    return torch.cat([tokens(seed).flatten(), tokens(seed, 16, 3, 32).flatten()])


def kept_of(shelf: Shelf) -> Tensor:
    assert shelf.features is not None
    return shelf.features[: shelf.filled].clone()


def test_a_merged_bank_changes_every_so_many_frames_and_keeps_its_anchor() -> None:
    for anchored in (False, True):
        each, states = shelf(4, anchored), []
        for number in range(12):
            each.keep(left(number))
            states.append(kept_of(each))

        first = int(anchored)
        assert torch.equal(states[first][-1], left(first))
        changes = [n for n in range(first + 1, 12) if not torch.equal(*states[n - 1 : n + 1])]
        assert changes == [first + 4, first + 8]
        assert all(len(state) == 1 + first for state in states[first:])
        if anchored:
            assert all(torch.equal(state[0], left(0)) for state in states)


def test_chance_is_one_of_seed_step_and_frame_whoever_else_is_there() -> None:
    one, same, another, later = (shelf(1, seed=(seed, step)) for seed, step in
                                 ((2, 0), (2, 0), (3, 0), (2, 1)))  # fmt: skip
    for number in range(5):
        one.keep(left(number))
    for number in range(5):
        for each in (another, same, later):
            each.keep(left(number))

    assert torch.equal(kept_of(one), kept_of(same))
    assert not torch.equal(kept_of(one), kept_of(another))
    assert not torch.equal(kept_of(one), kept_of(later))


# --- in the engine ---------------------------------------------------------------------------

BANKS: tuple[dict[str, Any], ...] = (
    {"feature_bank": 2},
    {"feature_bank": 1, "feature_merge": 2},
)


def make(bench: Bench, family: str = "sd15", **bank: Any) -> tuple[Engine, EagerNetworks]:
    config: EngineConfig = bench.config(family, **bank)
    folder = open_folder(config)
    networks = EagerNetworks(folder, config, lambda message: None)
    return Engine(config, folder, networks), networks


def film(engine: Engine, pictures: list[Image], params: StyleParams, session: str) -> list[Image]:
    shown = []
    for number, image in enumerate(pictures):
        engine.submit(session, number, image, params)
        shown += [result.image for result in drain(engine)]
    return shown


@pytest.mark.parametrize("family", [*FAMILIES, "flow", "instaflow"])
def test_a_first_frame_and_a_still_one_are_what_they_are_without_a_bank(
    bench: Bench, family: str
) -> None:
    films = []
    for frames in (0, 2):
        engine, _ = make(bench, family, feature_bank=frames)
        engine.open("ann")
        films.append(film(engine, [picture(0)] * 3, GUIDED, "ann"))

    assert all(levels_apart(*pair) <= 1 for pair in zip(*films, strict=True))


@pytest.mark.parametrize("bank", BANKS, ids=str)
def test_sessions_that_share_calls_do_not_share_banks(bench: Bench, bank: dict[str, Any]) -> None:
    engine, networks = make(bench, **bank)
    for session in ("alone", "ann", "ben"):
        engine.open(session)
    alone = film(engine, [picture(n) for n in range(5)], GUIDED, "alone")
    together = []
    for number in range(5):
        engine.submit("ann", number, picture(number), GUIDED)
        engine.submit("ben", number, picture(20 + number), replace(INK, prompt="oil", steps=2))
        together += [result.image for result in drain(engine) if result.session == "ann"]

    assert all(levels_apart(*pair) <= 1 for pair in zip(together, alone, strict=True))
    assert networks.bank is not None
    for session in ("alone", "ann", "ben"):
        assert networks.bank.size > 0
        engine.close(session)
    assert networks.bank.size == 0


def test_all_schedules_give_the_same_pictures_with_a_merged_bank(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """T1b.2; at a new look and at a cut the bank begins anew."""
    latents, found = noting_latents(monkeypatch), []
    ink = replace(INK, steps=2)
    came = [(image, ink) for image in moving(8)]
    came[3:5] = [(image, replace(ink, prompt="oil")) for image, _ in came[3:5]]
    came[5:] = [(255 - image, ink) for image, _ in came[5:]]
    for schedule in ("step-major", "stream-batch"):
        engine, networks = bench.engine(
            schedule=schedule, feature_bank=1, feature_merge=1, max_rows=16
        )
        engine.open("ann")
        latents.clear()
        for number, (image, params) in enumerate(came):
            while not engine.wants("ann", ink.steps):
                engine.tick()
            engine.submit("ann", number, image, params)
            if schedule == "step-major":
                drain(engine)
        drain(engine)
        found.append(dict(latents))
        assert max(networks.rows) == (1 if schedule == "step-major" else 2)

    assert len(found[0]) == len(came)
    for number, (image, params) in enumerate(came):
        one, other = (each["ann", number] for each in found)
        assert apart(one, other) < 1e-4, number
        if number in (3, 5):
            engine, _ = make(bench)
            engine.open("anew")
            latents.clear()
            film(engine, [image], params, "anew")
            assert apart(one, latents["anew", 0]) < 1e-4, number


def test_sessions_of_two_sizes_merge_side_by_side(bench: Bench) -> None:
    engine, _ = make(bench, feature_bank=1, feature_merge=1)
    wide = [np.tile(image, (1, 2, 1)) for image in moving(4)]
    for session in ("ann", "ben", "alone"):
        engine.open(session)
    for session in ("ben", "alone"):
        engine.prepare_size(session, (128, 64))
    alone = film(engine, wide, INK, "alone")
    beside = []
    for number, (image, small) in enumerate(zip(wide, moving(4), strict=True)):
        engine.submit("ann", number, small, INK)
        engine.submit("ben", number, image, INK)
        beside += [result.image for result in drain(engine) if result.session == "ben"]

    assert all(levels_apart(*pair) <= 1 for pair in zip(beside, alone, strict=True))


def test_the_setting_chooses_the_backend_that_can(sd_folder: Path) -> None:
    assert choose_backend(EngineConfig(device="cpu", feature_bank=1)) == "eager"
    assert choose_backend(EngineConfig(device="cpu")) == "openvino"
    with pytest.raises(ConfigError, match=r"feature_bank 1: backend openvino.*eager"):
        EngineConfig(backend="openvino", feature_bank=1)
    for backend in ("graphs", "compiled"):
        assert EngineConfig(backend=backend, feature_bank=1).feature_bank == 1  # type: ignore[arg-type]  # two of its names


def test_an_anchor_is_never_evicted_and_the_others_roll_on() -> None:
    def kept(shelf: Shelf, frames: int) -> list[float]:
        for value in range(frames):
            shelf.keep(torch.tensor([float(value)]))
        assert shelf.features is not None
        return sorted(shelf.features[: shelf.filled, 0].tolist())

    assert kept(Shelf("ink", 3, anchored=True), 2) == [0, 1]
    assert kept(Shelf("ink", 3, anchored=True), 6) == [0, 4, 5]
    assert kept(Shelf("ink", 2, anchored=True), 6) == [0, 5]
    assert kept(Shelf("ink", 2), 6) == [4, 5]


def test_places_that_are_empty_weigh_nothing_whatever_stands_there(
    unet: UNet2DConditionModel,
) -> None:
    for fusion in (0.0, 0.75):
        bank = FeatureBank(unet, 3, fusion, -1.0)
        bank.inject()
        denoiser = BankedDenoiser(Plain(unet), bank)
        with torch.inference_mode():
            _, first = denoiser(*values(drawn(0)))
            exact, _ = denoiser(*values(drawn(1)), first[None])
            past = torch.cat([first[None], 50 * torch.randn(1, 2, first.shape[1])], 1)
            bias = torch.tensor([[0.0, 0.0, -torch.inf, -torch.inf]])
            masked, _ = denoiser(*values(drawn(1)), past, bias)
        bank.eject()

        assert apart(masked, exact) < 1e-5
