"""CUDA graphs on stand-ins for a GPU: each call is a replay on fixed addresses."""

import numpy as np
import pytest
import torch
from torch import Tensor

from pipeline.backends.eager import EagerNetworks
from pipeline.backends.graphs import GraphNetworks
from pipeline.backends.protocol import Networks
from pipeline.engine import Engine
from pipeline.models.folder import open_folder
from tests.pipeline.conftest import FAMILIES, Bench, apart, levels_apart, picture
from tests.pipeline.fake_cuda import FakeGraph, stand_in
from tests.pipeline.test_gpu_backends import live


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
