"""The bank of attention features (acceptance tests T4), on tiny UNets with random weights."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from diffusers import UNet2DConditionModel, UNet2DModel
from torch import Tensor, nn

from pipeline.backends import choose_backend
from pipeline.backends.eager import EagerNetworks
from pipeline.config import EngineConfig
from pipeline.engine import Engine
from pipeline.errors import ConfigError
from pipeline.feature_bank import BankedDenoiser, FeatureBank, Row, Scenes, Shelf, Shelves
from pipeline.models.folder import open_folder
from pipeline.params import StyleParams
from pipeline.results import Image
from tests.pipeline.conftest import (
    FAMILIES,
    TEXT,
    Bench,
    apart,
    drain,
    levels_apart,
    make_unet,
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


@pytest.mark.parametrize("count", [40, pytest.param(1000, marks=pytest.mark.long)])
def test_it_stays_as_large_as_it_is_and_closing_frees_it(
    unet: UNet2DConditionModel, bank: FeatureBank, count: int
) -> None:
    sizes, half = [], count // 2
    for number in range(count):
        banked(bank, unet, drawn(number), row(look="ink" if number < half else "oil"))
        sizes.append(bank.size)

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


# --- in the engine ---------------------------------------------------------------------------


def make(bench: Bench, frames: int, family: str = "sd15") -> tuple[Engine, EagerNetworks]:
    config: EngineConfig = bench.config(family, feature_bank=frames)
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
        engine, _ = make(bench, frames, family)
        engine.open("ann")
        films.append(film(engine, [picture(0)] * 3, GUIDED, "ann"))

    assert all(levels_apart(*pair) <= 1 for pair in zip(*films, strict=True))


def test_sessions_that_share_calls_do_not_share_banks(bench: Bench) -> None:
    engine, networks = make(bench, 2)
    for session in ("alone", "ann", "ben"):
        engine.open(session)
    alone = film(engine, [picture(n) for n in range(4)], GUIDED, "alone")
    together = []
    for number in range(4):
        engine.submit("ann", number, picture(number), GUIDED)
        engine.submit("ben", number, picture(20 + number), replace(INK, prompt="oil", steps=2))
        together += [result.image for result in drain(engine) if result.session == "ann"]

    assert all(levels_apart(*pair) <= 1 for pair in zip(together, alone, strict=True))
    assert networks.bank is not None
    for session in ("alone", "ann", "ben"):
        assert networks.bank.size > 0
        engine.close(session)
    assert networks.bank.size == 0


def test_the_setting_chooses_the_backend_that_can(sd_folder: Path) -> None:
    assert choose_backend(EngineConfig(device="cpu", feature_bank=1)) == "eager"
    assert choose_backend(EngineConfig(device="cpu")) == "openvino"
    with pytest.raises(ConfigError, match=r"feature_bank 1: backend openvino.*eager"):
        EngineConfig(backend="openvino", feature_bank=1)
    assert EngineConfig(backend="graphs", feature_bank=1).feature_bank == 1


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
