"""A bank of features in programs of torch.compile: one for each batch size, whatever is kept."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from torch import Tensor, nn

from pipeline.backends import compiled
from pipeline.backends.compiled import CompiledNetworks
from pipeline.backends.eager import EagerNetworks
from pipeline.models.folder import open_folder
from tests.pipeline.conftest import Bench, write_embedded, write_small_unet
from tests.pipeline.test_graphs import CALLS, agree, film, sharpened

BANKS: tuple[dict[str, Any], ...] = (
    {"feature_bank": 2, "feature_anchor": True, "feature_fusion": 0.75},
    {"feature_bank": 1, "feature_merge": 2},
)


def noting(programs: set[Any]) -> Any:
    """Run a network as it is, and note what torch.compile would make a program for."""

    def compile_(network: nn.Module, mode: str) -> Any:
        def run(*values: Tensor) -> Any:
            kinds = [(v.shape, v.stride(), v.dtype, v.is_inference()) for v in values]
            programs.add((id(network), str(kinds)))
            return network(*values)

        return run

    return compile_


@pytest.mark.parametrize("bank", BANKS, ids=str)
def test_what_is_kept_asks_for_no_further_program_and_gives_what_eager_gives(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, bank: dict[str, Any]
) -> None:
    programs: set[Any] = set()
    monkeypatch.setattr(compiled, "_compile", noting(programs))
    config = bench.config("sd15", backend="compiled", max_rows=4, **bank)
    folder = open_folder(config)
    networks = CompiledNetworks(folder, config, lambda message: None)
    eager = EagerNetworks(folder, config, lambda message: None)
    sharpened(networks)
    sharpened(eager)
    made = set(programs)

    shown = film(networks, folder)

    assert len(made) == 2 + 3  # the autoencoder's halves; a UNet of 4, 2 and 1 rows
    assert programs == made
    assert agree(shown, film(eager, folder), bank)
    assert networks.bank is not None
    whose = [session for call in CALLS for session, _, _ in call]
    own = shown[[n for n, each in enumerate(whose) if each == "ann"]]
    for session in ("ann", "ben", "cem"):
        networks.bank.forget(session)
    assert networks.bank.size == 0
    assert agree(own, film(networks, folder, "ann"), bank)  # whoever shares a call


TRACE = """
import json, sys, torch
from pipeline.backends import compiled
from pipeline.backends.compiled import CompiledNetworks
from pipeline.backends.eager import EagerNetworks
from pipeline.config import EngineConfig
from pipeline.feature_bank import Row
from pipeline.models.folder import open_folder
from torch._dynamo.utils import counters

# traced into the same static programs, run without a C++ compiler: that takes minutes
compiled._compile = lambda network, mode: torch.compile(
    network, backend="aot_eager", dynamic=False, fullgraph=True)
torch.set_num_threads(1)
config = EngineConfig(model=sys.argv[1], width=64, height=64, device="cpu", backend="compiled",
                      max_rows=3, feature_bank=1, feature_anchor=True, feature_merge=2)
folder = open_folder(config)
both = [make(folder, config, lambda message: None) for make in (CompiledNetworks, EagerNetworks)]
made, apart = counters["stats"]["unique_graphs"], []
for call in range(12):
    sessions = ("ann", "ben", "cem")[: (1, 3, 2)[call % 3]]
    noise = torch.randn(len(sessions), 4, 8, 8, generator=torch.Generator().manual_seed(call))
    found = []
    for networks in both:
        prompt = networks.condition(torch.ones(1, *folder.words_shape))
        with networks.bank.rows([Row(session, 0, 0, "ink") for session in sessions]):
            found.append(networks.denoise(
                noise, [100.0] * len(sessions), prompt.expand(len(sessions), -1, -1)))
    apart.append(float((found[0] - found[1]).norm() / found[1].norm()))
print(json.dumps({"made": made, "new": counters["stats"]["unique_graphs"] - made, "apart": apart,
                  "shapes": both[0].bank.merging.layers}))
"""


@pytest.mark.long
@pytest.mark.slow
def test_torch_compile_traces_a_bank_whole_and_once_a_batch_size(tmp_path: Path) -> None:
    """One level; in a process of its own: the shape checks of tests do not compile."""
    write_embedded(tmp_path)
    write_small_unet(tmp_path)

    ran = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", TRACE, str(tmp_path)],
        capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip

    assert ran.returncode == 0, ran.stderr[-2000:]
    found = json.loads(ran.stdout.splitlines()[-1])
    assert found["made"] == 2 + 3  # the autoencoder's halves; a UNet of 4, 2 and 1 rows
    assert found["new"] == 0  # nothing compiles while people watch
    assert found["shapes"] == [[2, 64, 16]]
    assert max(found["apart"]) < 1e-4
