"""CUDA graphs on stand-ins for a GPU: each call is a replay on fixed addresses."""

import numpy as np
import pytest
import torch
from torch import Tensor

from pipeline.backends.compiled import CompiledNetworks
from pipeline.backends.eager import EagerNetworks
from pipeline.backends.graphs import GraphNetworks
from pipeline.backends.protocol import Networks
from pipeline.engine import Engine
from pipeline.feature_bank import Row
from pipeline.models.folder import ModelFolder, open_folder
from tests.pipeline.conftest import FAMILIES, Bench, apart, levels_apart, picture
from tests.pipeline.fake_cuda import FakeGraph, stand_in
from tests.pipeline.test_gpu_backends import live, mean_levels_apart


@pytest.fixture(autouse=True)
def _graphs(monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(monkeypatch)


def denoised(networks: Networks, rows: int, channels: int, words: tuple[int, int]) -> Tensor:
    generator = torch.Generator().manual_seed(rows)
    texts = torch.randn(rows, 1, *words, generator=generator)
    return networks.denoise(
        torch.randn(rows, channels, 8, 8, generator=generator),
        [100.0 + 200 * row for row in range(rows)],
        torch.cat([networks.condition(text) for text in texts]),
    )


@pytest.mark.parametrize("family", FAMILIES)
def test_replays_give_in_any_order_what_eager_gives_and_it_lasts(bench: Bench, family: str) -> None:
    config = bench.config(family, max_rows=4)
    folder = open_folder(config)
    eager, graphs = (make(folder, config, print) for make in (EagerNetworks, GraphNetworks))
    shape = folder.unet.config["in_channels"], folder.words_shape
    images = torch.from_numpy(np.stack([picture(number) for number in range(3)]))

    found: list[list[Tensor]] = []
    for networks in (graphs, eager):
        results = [denoised(networks, rows, *shape) for rows in (4, 1, 3, 2, 1, 4)]
        latents = networks.encode(images)
        results += [latents, denoised(networks, 2, *shape), networks.decode(latents).float()]
        found.append(results)

    for one, other in zip(*found, strict=True):
        assert apart(one, other) < 1e-3
    assert not torch.equal(found[0][0][:1], found[0][1])  # there is something to mix up


def test_an_engine_shows_on_graphs_what_it_shows_on_eager(bench: Bench) -> None:
    config = bench.config("sd15")
    folder = open_folder(config)
    engines = [
        Engine(config, folder, make(folder, config, print))
        for make in (GraphNetworks, EagerNetworks)
    ]

    for one, other in zip(*map(live, engines), strict=True):
        assert (one.session, one.number) == (other.session, other.number)
        assert levels_apart(one.image, other.image) <= 1


CALLS: tuple[tuple[tuple[str, int, int], ...], ...] = (  # rows: session, step, part
    (("ann", 0, 0),),
    (("ann", 0, 0), ("ann", 1, 0)),
    (("ben", 0, 0), ("ann", 0, 0), ("ann", 1, 0)),
    (("ann", 0, 0), ("ben", 0, 0), ("cem", 0, 0), ("cem", 0, 1)),
    (("ann", 1, 0), ("ann", 0, 0), ("ann", 0, 0)),  # two frames of one session and step
    (),  # nobody's: the warm-up of a size
    (("cem", 0, 0), ("cem", 0, 1), ("ann", 0, 0), ("ben", 0, 0)),
    (("ben", 0, 0),),
    (("ann", 0, 0), ("ann", 1, 0)),
)
FUSED = {"feature_bank": 3, "feature_anchor": True, "feature_fusion": 0.75}
BANKS: tuple[tuple[str, dict[str, object]], ...] = (
    ("sd15", {"feature_bank": 4}),
    ("sd15", {"feature_bank": 2, "feature_fusion": 0.75}),
    ("sd15", {"feature_bank": 1, "feature_merge": 2}),
    ("sd15", {"feature_bank": 1, "feature_merge": 1, "feature_anchor": True}),
    *((family, FUSED) for family in FAMILIES),
)


BankedNetworks = EagerNetworks | GraphNetworks | CompiledNetworks


def sharpened(networks: BankedNetworks) -> None:
    """Make features of a picture differ: of two that are as near, either may be the nearest."""
    assert networks.bank is not None
    for layer in networks.bank._layers.values():
        layer.to_q.weight.data *= 8
        layer.to_k.weight.data *= 8


def agree(one: Tensor, other: Tensor, bank: dict[str, object]) -> bool:
    """Say whether rows are the same; fused ones nearly all: a likeness may be at the limit."""
    far = sum(apart(*rows) > 1e-5 for rows in zip(one, other, strict=True))
    return far <= (len(one) / 5 if "feature_fusion" in bank else 0)


def film(networks: BankedNetworks, folder: ModelFolder, whose: str = "") -> Tensor:
    """Run CALLS, or what one session has of them; give the predictions of that one, or all."""
    prompt = networks.condition(torch.ones(1, *folder.words_shape))
    shape = (1, folder.unet.config["in_channels"], 8, 8)
    drawn = {
        session: torch.randn(shape, generator=torch.Generator().manual_seed(seed))
        for seed, session in enumerate(("", "ann", "ben", "cem"))
    }
    shown, generator = [], torch.Generator().manual_seed(9)
    assert networks.bank is not None
    for call in CALLS:
        noise = torch.randn(max(len(call), 1), *shape[1:], generator=generator) / 10
        called = [n for n, row in enumerate(call) if whose in ("", row[0])]
        keys = [call[n] for n in called] or ([("", 0, 0)] if not whose else [])
        if not keys:
            continue
        rows = torch.cat([drawn[key[0]] for key in keys]) + noise[called or [0]]
        times = [100.0 + 300 * step for _, step, _ in keys]
        with networks.bank.rows([Row(*key, "ink") for key in keys if key[0]]):
            shown.append(networks.denoise(rows, times, prompt.expand(len(keys), -1, -1)))
        shown[-1] = shown[-1][[n for n, key in enumerate(keys) if key[0]]]
    return torch.cat(shown)


@pytest.mark.parametrize(("family", "bank"), BANKS, ids=str)
def test_a_bank_in_graphs_gives_what_eager_gives_whoever_shares_a_call(
    bench: Bench, family: str, bank: dict[str, object]
) -> None:
    """Banks with nothing in them, partly full and full in one call."""
    config = bench.config(family, max_rows=4, **bank)
    folder = open_folder(config)
    eager, graphs = (make(folder, config, print) for make in (EagerNetworks, GraphNetworks))
    sharpened(eager)
    sharpened(graphs)
    assert graphs.bank is not None

    shown = film(graphs, folder)

    assert agree(shown, film(eager, folder), bank)
    whose = [session for call in CALLS for session, _, _ in call]
    for session in ("ann", "ben"):
        for each in ("ann", "ben", "cem"):
            graphs.bank.forget(each)
        own = shown[[n for n, each in enumerate(whose) if each == session]]
        assert agree(own, film(graphs, folder, session), bank)
    another = bench.config(family, max_rows=4, feature_bank=2)
    plain = EagerNetworks(folder, another, print)
    sharpened(plain)
    assert apart(shown, film(plain, folder)) > 1e-3  # what is set matters


@pytest.mark.parametrize("steps", [1, 2])
def test_an_engine_with_a_bank_shows_on_graphs_what_it_shows_on_eager(
    bench: Bench, steps: int
) -> None:
    # not fused: what a likeness just at its limit decides is seen in the picture
    config = bench.config("sd15", feature_bank=3, feature_anchor=True)
    folder = open_folder(config)
    networks = [make(folder, config, print) for make in (GraphNetworks, EagerNetworks)]

    found = [live(Engine(config, folder, each), steps) for each in networks]

    for one, other in zip(*found, strict=True):
        assert (one.session, one.number) == (other.session, other.number)
        assert mean_levels_apart(one.image, other.image) < 0.01  # one pixel may be two off
    assert networks[0].bank is not None
    assert networks[0].bank.size > 0


def test_a_stand_in_graph_spoils_what_others_left() -> None:
    pool: list[FakeGraph] = []
    graphs, kept, results = [], torch.ones(2), []
    for factor in (2, 3):
        graphs.append(FakeGraph())
        with torch.cuda.graph(graphs[-1], pool, None):  # type: ignore[arg-type]  # a stand-in
            results.append(kept * factor + 1)
    graphs[0].replay()
    assert results[0].tolist() == [3, 3]
    assert results[1].isnan().all()
    kept.fill_(5)
    graphs[1].replay()
    assert results[1].tolist() == [16, 16]
    assert kept.tolist() == [5, 5]
