"""`restyle bench engine --json` on a CPU, from the command to what it prints; and its arms."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import pytest
import torch

from pipeline.backends.eager import EagerNetworks
from pipeline.comparison import energy
from pipeline.comparison.autoencoders import autoencoders, write_kl_vae
from pipeline.comparison.calls import calls, fit, frame_flops, memory, share_of_ceiling
from pipeline.comparison.measuring import frame_flops as frame_flops_of_calls
from pipeline.comparison.playing import Bench
from pipeline.comparison.still import pictures, similarity
from pipeline.comparison.subject import Subject
from pipeline.config import EngineConfig
from pipeline.models.folder import open_folder
from pipeline.params import StyleParams
from server import bench as bench_module
from server import bench_arms
from server.__main__ import main
from server.bench_table import table, tables
from server.plots import draw_arms, draw_engine

pytestmark = pytest.mark.usefixtures("unchecked")  # time is measured

PLAIN = StyleParams(prompt="ink", guidance_scale=1.0, deflicker=0.0)


def make_bench(folder: Path, **config: Any) -> Bench:
    given = EngineConfig(model=str(folder), width=64, height=64, device="cpu", **config)
    networks = EagerNetworks(open_folder(given), given, quiet)
    return Bench(networks, given, pictures(64, 64, 0))


def quiet(message: str) -> None:
    """Say nothing."""


@pytest.fixture(scope="module")
def bench(models: dict[str, Path]) -> Bench:
    return make_bench(models["turbo"])


@dataclass
class Measured:
    """What the arms of a model with one autoencoder gave, where nothing tells energy."""

    figures: dict[str, Any]
    missing: dict[str, str]


@pytest.fixture(scope="module")
def measured(bench: Bench, unchecked: None) -> Measured:
    missing: dict[str, str] = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bench_arms, "find_meter", lambda device: None)
        figures = bench_arms.measure_arms(bench, PLAIN, bench_arms.Length(4, 0.4), missing, quiet)
    return Measured(figures, missing)


def test_each_type_of_guidance_takes_the_rows_that_it_promises(measured: Measured) -> None:
    found = measured.figures["guidance"]

    rows = {kind: each["unet_rows_per_frame"] for kind, each in found.items()}
    assert rows == {"none": 2, "self": 2, "initialize": 3, "full": 4}  # n, n, n + 1, 2 n
    assert {each["steps"] for each in found.values()} == {2}
    assert all(each["fps"] > 0 for each in found.values())
    assert found["none"]["times_as_long_as_none"] == 1
    for each in found.values():
        assert each["times_as_long_as_none"] == pytest.approx(
            found["none"]["fps"] / each["fps"], rel=0.1, abs=0.01
        )


def test_a_stream_batch_fills_its_calls_with_one_session_and_step_major_with_four(
    measured: Measured,
) -> None:
    found = measured.figures["schedules"]

    ours, batch = found["step-major"], found["stream-batch"]
    assert (ours["rows_per_call_of_1"], batch["rows_per_call_of_1"]) == (1, 4)
    assert ours["rows_per_call_of_4"] == 4
    assert batch["rows_per_call_of_4"] == 8  # of 16, as many as a call has room for
    for each in (ours, batch):
        assert each["fps_of_1"] > 0
        assert each["fps_of_4"] > 0
        assert 0 < each["camera_fps"] <= 40  # 30, of a third of a second or more
        assert 0 < each["age_p50_ms"] <= each["age_p99_ms"]
        # three periods of a camera, each 33.3 ms
        assert each["age_in_waiting"] == pytest.approx(each["age_p50_ms"] / 100, abs=0.001)
    for name in ("fps_of_1", "fps_of_4", "age_p50_ms"):
        assert found["beside"][name] == pytest.approx(ours[name] / batch[name], abs=0.01)


def test_where_nothing_tells_energy_the_figures_say_so(measured: Measured) -> None:
    found = measured.figures["similarity"]

    assert found["energy"] == "nothing tells energy here: processor time has to do"
    assert "joules_per_frame" not in found["still"]["off"]
    assert "watts" not in found["still"]["saved"]
    assert found["still"]["off"]["processor_ms_per_frame"] > 0


def test_an_arm_that_cannot_be_measured_says_why_and_the_others_are_told(
    measured: Measured,
) -> None:
    assert measured.figures.keys() == {"guidance", "schedules", "similarity"}
    assert measured.missing.keys() == {"autoencoders"}
    why = measured.missing["autoencoders"]
    assert "AutoencoderTiny is the only one here; --autoencoder gives another" in why
    told = tables(measured.figures | {"missing": measured.missing})
    for words in ("unet rows per frame", "stream-batch", "age p50 ms", "still, on", why):
        assert words in told
    assert json.loads(json.dumps(measured.figures)) == measured.figures


@pytest.mark.parametrize("where", ["in the folder", "by its path"])
def test_the_kl_vae_is_measured_beside_the_tiny_one_wherever_it_is(
    models: dict[str, Path], tmp_path: Path, where: str
) -> None:
    if where == "in the folder":
        for path in models["turbo"].iterdir():
            (tmp_path / path.name).symlink_to(path)
        write_kl_vae(tmp_path / "kl_vae", small=True)
        both = make_bench(tmp_path, backend="eager")
    else:
        both = make_bench(models["sd15"], autoencoder=str(models["turbo"] / "vae"), backend="eager")

    found = autoencoders(both, PLAIN, 6, quiet)

    assert list(found) == ["AutoencoderTiny", "AutoencoderKL"]  # what is used comes first
    for each in found.values():
        assert 0 < each["encode_ms"] + each["decode_ms"] < each["ms_per_frame"]
    assert min(each["times_as_long"] for each in found.values()) == 1
    if where == "in the folder":  # whose KL-VAE is no toy
        assert found["AutoencoderKL"]["decode_ms"] > found["AutoencoderTiny"]["decode_ms"]
        assert found["AutoencoderKL"]["times_as_long"] > 1


class Steady:
    """A meter that tells 12 joules of each stretch."""

    name = "a socket"

    def __init__(self) -> None:
        self.started = self.stopped = 0

    def start(self) -> None:
        self.started += 1

    def stop(self) -> float | None:
        self.stopped += 1
        return 12.0


def test_what_the_similarity_filter_saves_is_told_of_a_still_and_a_moving_picture(
    bench: Bench,
) -> None:
    meter = Steady()

    found = similarity(bench, PLAIN, 24, meter)

    assert found["energy"] == "a socket"
    assert meter.started == meter.stopped == 8
    for scene in ("still", "moving"):
        assert found[scene]["off"]["skipped"] == 0
        for way in ("off", "on"):
            each = found[scene][way]
            assert each["joules_per_frame"] == 1.0  # twice 12 of 24 frames
            assert 0 < each["watts"] <= 24 / 0.7  # of 0.8 s, nearly, and more
            assert each["ms_per_frame"] > 0
            assert each["processor_ms_per_frame"] > 0
        assert found[scene]["saved"]["joules_per_frame"] == 0
    assert 0.5 < found["still"]["on"]["skipped"] < 0.95  # eleven of twelve at most
    assert found["moving"]["on"]["skipped"] == 0
    assert found["still"]["saved"]["ms_per_frame"] > 0.3
    assert 0 < found["ms_to_decide"] < 10


def test_a_processor_s_joules_are_those_of_its_packages(tmp_path: Path) -> None:
    count = _zone(tmp_path, "intel-rapl:0", "package-0", 900)
    _zone(tmp_path, "intel-rapl:0:0", "core", 10)  # a part of it
    other = _zone(tmp_path, "intel-rapl:1", "package-1", 50)
    _zone(tmp_path, "intel-rapl:2", "psys", 70)  # all of it once more
    meter = energy.find_meter(torch.device("cpu"), tmp_path)
    assert meter is not None

    meter.start()
    count(400)  # over its end, which is at 1000
    other(3_000_050)

    assert meter.name == "RAPL"
    assert meter.stop() == pytest.approx(3.0005)


def test_counters_that_only_root_may_read_are_no_meter(tmp_path: Path) -> None:
    _zone(tmp_path, "intel-rapl:0", "package-0", 900)
    (tmp_path / "intel-rapl:0" / "energy_uj").unlink()
    (tmp_path / "intel-rapl:0" / "energy_uj").mkdir()  # nobody reads that

    assert energy.find_meter(torch.device("cpu"), tmp_path) is None
    assert energy.find_meter(torch.device("cpu"), tmp_path / "nowhere") is None


def _zone(root: Path, zone: str, name: str, microjoules: int) -> Callable[[int], object]:
    folder = root / zone
    folder.mkdir()
    (folder / "name").write_text(name + "\n")
    (folder / "max_energy_range_uj").write_text("1000\n")
    (folder / "energy_uj").write_text(f"{microjoules}\n")
    return lambda value: (folder / "energy_uj").write_text(f"{value}\n")


def test_a_gpu_s_joules_are_the_watts_it_settles_at_times_the_seconds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = tmp_path / "told"
    says = f"echo 40; echo 200; echo 200; : > {told}; exec sleep 60"
    meter = energy.NvidiaSmi(["/bin/sh", "-c", says])
    now = [5.0]
    monkeypatch.setattr("pipeline.comparison.energy.time.perf_counter", lambda: now[0])

    meter.start()
    while not told.exists():
        time.sleep(0.01)
    now[0] = 8.0

    assert meter.stop() == 600


def test_a_table_has_a_line_for_each_group_and_a_column_for_each_figure() -> None:
    found = table({"of": "ten", "still": {"off": {"a_b": 1.5}, "on": {"c": 22}}, "both": {"c": 3}})

    assert found.split("\n") == [
        "             of  a b   c",
        "            ten         ",
        "still, off       1.5    ",
        " still, on            22",
        "      both             3",
    ]


def test_a_picture_shows_the_arms_that_there_are(tmp_path: Path) -> None:
    kinds = {"none": (2, 20.0), "self": (2, 20.0), "initialize": (3, 15.0), "full": (4, 11.0)}
    way = {"processor_ms_per_frame": 40.0}
    figures: dict[str, Any] = {
        "guidance": {k: {"unet_rows_per_frame": r, "fps": f} for k, (r, f) in kinds.items()},
        "schedules": {
            "step-major": {"age_p50_ms": 80.0, "fps_of_1": 12.0},
            "stream-batch": {"age_p50_ms": 200.0, "fps_of_1": 15.0},
            "beside": {"fps_of_1": 0.8},
        },
        "similarity": {"filter": 0.98, "still": {"off": way, "on": way}},
    }

    without = cv2.imread(str(draw_arms(figures, tmp_path / "without", "tiny")))
    figures["autoencoders"] = {
        "AutoencoderKL": {"encode_ms": 5.0, "decode_ms": 9.0, "ms_per_frame": 20.0}
    }
    path = draw_arms(figures, tmp_path / "all", "tiny")
    drawn = cv2.imread(str(path))

    assert path == tmp_path / "all" / "arms.png"
    assert without is not None
    assert drawn is not None
    assert drawn.shape == without.shape
    height, width = drawn.shape[:2]
    changed = (drawn != without).any(2)
    assert changed[height // 2 :, : width // 2].mean() > 0.1  # its bars, below on the left
    assert without.std() > 10


def test_calls_are_fitted_by_what_each_takes_once_and_for_each_row() -> None:
    exact = fit({1: 3.0, 2: 4.0, 4: 6.0, 8: 10.0})

    assert exact == {"once_ms": 2.0, "row_ms": 1.0, "off": 0.0}
    assert fit({1: 5.0}) == {"once_ms": 0.0, "row_ms": 5.0, "off": 0.0}
    assert fit({1: 1.0, 2: 2.5, 4: 5.5})["once_ms"] == 0.0  # never less than nothing


def test_a_frame_s_arithmetic_is_counted_by_shapes_as_the_networks_do_it(bench: Bench) -> None:
    config = bench.engine.config
    networks = bench.engine.networks
    subject = Subject(Path(), 64, 64, 1, torch.device("cpu"))
    folder = open_folder(config)
    prompt = networks.condition(torch.zeros(1, *folder.words_shape))

    called = frame_flops_of_calls(networks, subject, 4, prompt)

    # PyTorch does not count attention by the kernel that it has for CPUs
    assert called < frame_flops(folder, 64, 64) < 1.05 * called


def test_calls_share_and_memory_of_an_engine_are_told_in_one_run(bench: Bench) -> None:
    found = calls(bench)
    share = share_of_ceiling(bench, 50.0, {"4": {"own prompts": {"fps_together": 100.0}}})
    taken = memory(bench)

    assert {"encode", "decode", "unet, 1 rows", "unet, 8 rows"} <= found["ms"].keys()
    assert min(found["ms"].values()) > 0
    assert share["sessions, 4"] == pytest.approx(2 * share["alone"], rel=0.1, abs=2e-4)
    assert 0 < share["frame_gflop"] < 10
    assert 0 < taken["weights_bytes"] < taken["estimated_bytes"]
    assert taken["process_peak_bytes"] > taken["weights_bytes"]


@pytest.mark.parametrize("warped", [True, False])
def test_noise_that_the_operator_left_out_is_not_measured(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, warped: bool
) -> None:
    kinds = set()
    play = bench.play
    monkeypatch.setattr(
        bench, "play",
        lambda styles, _: (kinds.update(s.noise for s in styles.values()), play(styles, 2))[1],
    )  # fmt: skip

    found = bench_module._temporal(bench, warped=warped)

    assert kinds == ({"fixed", "warped"} if warped else {"fixed"})
    assert ("warped noise" in found) == warped


def test_an_engine_s_figures_are_drawn_with_the_fit_of_its_calls(tmp_path: Path) -> None:
    counts = {str(n): {"own prompts": {"fps_together": 9.0 * n}} for n in (1, 2, 4)}
    figures: dict[str, Any] = {
        "steps": {str(n): {"ms": {"encode": 2.0, "unet": 9.0 * n}} for n in (1, 2)},
        "sessions": counts,
        "calls": {
            "ms": {"encode": 2.0, "unet, 1 rows": 3.0, "unet, 2 rows": 4.0},
            "fit": {"once_ms": 2.0, "row_ms": 1.0, "off": 0.0},
        },
        "noise_and_deflicker": {"off": 20.0, "deflicker": 22.0},
    }
    few = cv2.imread(str(draw_engine(figures, tmp_path / "few", "tiny")))
    for kinds in counts.values():
        kinds["one prompt"] = {"fps_together": 3.0}
    more = cv2.imread(str(draw_engine(figures, tmp_path / "more", "tiny")))

    assert few is not None
    assert more is not None
    height, width = few.shape[:2]
    changed = (few != more).any(2)
    assert changed[: height // 2, width // 2 :].any()  # sessions stand above on the right
    assert not changed[height // 2 :].any()


@pytest.mark.long
@pytest.mark.timeout(600)
def test_the_command_prints_every_figure_and_the_promises_on_the_simulated_device_hold(
    models: dict[str, Path], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    size = ["--width", "64", "--height", "64"]
    given = ["--model", str(models["embedded"]), "--backend", "eager", "--device", "cpu", *size]

    more = ["--plots", str(tmp_path), "--no-warped-noise"]
    assert main(["bench", "engine", "--json", *given, *more]) == 0

    printed = capsys.readouterr()
    found = json.loads(printed.out)
    assert found["machine"]["backend"] == "eager"
    assert found["size"] == "64x64"
    for figures in found["steps"].values():
        assert figures["fps"] > 0
        assert figures["ms"].keys() == {"encode", "unet", "decode"}
    assert found["steps"].keys() == {"1", "2", "4"}
    assert found["guidance"].keys() == {"none", "self", "initialize", "full"}
    assert found["schedules"].keys() == {"step-major", "stream-batch", "beside"}
    assert found["missing"].keys() == {"autoencoders", "warped noise"}
    assert found["noise_and_deflicker"].keys() == {"off", "deflicker"}
    assert {path.name for path in tmp_path.iterdir()} == {"arms.png", "engine.png"}
    assert found["sessions"]["1"]["one prompt"]["times_one"] == 1
    assert found["simulated"]["fitted"]["four_people_in_shared_calls_beside_one_row_a_call"] >= 0.9
    assert "unet rows per frame" in printed.err
    assert found["sessions"].keys() == {"1", "2", "4", "8"}
    assert found["overhead_ms"] > 0
    still = found["similarity"]["still"]
    assert 0.5 < still["on"]["skipped"] < 0.95  # eleven of twelve at most
    assert still["saved"]["ms_per_frame"] > 0
    crowd = found["simulated"]["twelve_people_80_percent"]
    assert crowd["fps_each"] > 29
    assert crowd["latest_ms_after_deadline"] < 1000 / 30
    assert crowd["unfairness"] <= 0.05
    assert found["simulated"]["memory_growth_mb_over_10000_ticks"] < 4
