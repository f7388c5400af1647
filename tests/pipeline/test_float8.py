"""fp8: layers give nearly what they gave, and the gate sends back those that do not."""

import logging
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d

from pipeline.backends import choose_backend, float8, float8_layers
from pipeline.backends.eager import EagerNetworks
from pipeline.backends.float8 import Kinds, check_precision, choose, layers_by_kind
from pipeline.backends.float8_layers import (
    KIND,
    Float8Convolution,
    Float8Layer,
    Float8Linear,
    in_float8,
    suits,
)
from pipeline.backends.graphs import GraphNetworks
from pipeline.config import EngineConfig
from pipeline.engine import Engine, build_engine
from pipeline.errors import BackendUnavailable, ConfigError
from pipeline.models.folder import open_folder
from pipeline.params import StyleParams
from tests.pipeline.conftest import Bench, alone, apart, picture
from tests.pipeline.fake_cuda import stand_in
from tests.pipeline.test_gpu_backends import gpu, mean_levels_apart
from tests.pipeline.test_graphs import denoised


@pytest.fixture(autouse=True)
def _no_gradients() -> Iterator[None]:
    with torch.no_grad():
        yield


@pytest.fixture(params=["linear layers", "and convolutions"])
def convolutions(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether convolutions are let in, too: those of tiny models are too narrow to pay."""
    let_in = request.param == "and convolutions"
    monkeypatch.setattr(float8_layers, "pays", lambda layer: let_in)
    return let_in


def quiet(message: str) -> None:
    pass


@pytest.mark.parametrize("bias", [True, False])
def test_numbers_that_eight_bits_hold_are_multiplied_as_ever(bias: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    layer = nn.Linear(32, 48, bias)
    layer.weight.data = torch.randint(-3, 4, (48, 32), generator=generator).float()
    layer.weight.data[:, 0] = 448  # so that scales are 1
    values = torch.randint(-3, 4, (2, 5, 32), generator=generator).float()
    values[..., 1] = 448

    given = Float8Linear(layer)(values)

    assert given.dtype == torch.float32
    assert given.shape == (2, 5, 48)
    assert apart(given, layer(values)) < 2**-8  # bf16


def test_a_convolution_of_one_pixel_is_a_linear_layer_over_pixels() -> None:
    layer = nn.Conv2d(16, 32, 1).to(memory_format=torch.channels_last)
    values = torch.randn(2, 16, 6, 4).to(memory_format=torch.channels_last)

    given = Float8Linear(layer)(values)

    assert given.is_contiguous(memory_format=torch.channels_last)
    assert apart(given, layer(values)) < 0.05


SHAPES = [  # stride, padding, height, width: as layers have them, and odd sides
    (1, 1, 6, 4), (1, 1, 5, 7), (2, 1, 6, 4), (2, 1, 5, 7), (2, 0, 7, 5), (1, 1, 1, 1),
]  # fmt: skip


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(("stride", "padding", "height", "width"), SHAPES)
def test_a_convolution_of_numbers_that_eight_bits_hold_is_as_ever(
    stride: int, padding: int, height: int, width: int, bias: bool
) -> None:
    generator = torch.Generator().manual_seed(0)
    layer = nn.Conv2d(16, 32, 3, stride, padding, bias=bias)
    layer.weight.data = torch.randint(-3, 4, (32, 16, 3, 3), generator=generator).float()
    layer.weight.data[:, 0, 1, 2] = 448  # so that scales are 1
    values = torch.randint(-3, 4, (3, 16, height, width), generator=generator).float()
    values[:, 1, height // 2, width // 2] = 448

    given = in_float8(layer)(values)

    expected = layer(values)
    assert given.shape == expected.shape
    assert given.dtype == torch.float32
    assert apart(given, expected) < 2**-8  # bf16


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("kind", [torch.float16, torch.float32, torch.bfloat16])
def test_a_convolution_is_that_of_its_rounded_numbers(
    layout: torch.memory_format, kind: torch.dtype
) -> None:
    layer = nn.Conv2d(32, 48, 3, 1, 1).to(kind).to(memory_format=layout)
    values = torch.randn(2, 32, 6, 4).to(kind).to(memory_format=layout)
    made = in_float8(layer)
    assert isinstance(made, Float8Convolution)

    given = made(values)

    scale = values.float().abs().amax((1, 2, 3), keepdim=True) / 448
    rounded = (values.float() / scale).to(KIND).float() * scale
    weight = (made.weight.float() * made.scale.T).view(48, 3, 3, 32).permute(0, 3, 1, 2)
    assert layer.bias is not None
    assert given.dtype == kind
    assert given.is_contiguous(memory_format=torch.channels_last)
    assert apart(given.float(), conv2d(rounded, weight, layer.bias.float(), 1, 1)) < 2**-8
    assert 0 < apart(given.float(), layer(values).float()) < 0.05


def test_a_picture_does_not_see_who_shares_its_convolution() -> None:
    layer = in_float8(nn.Conv2d(32, 48, 3, 1, 1))
    pictures = torch.randn(3, 32, 8, 8) * torch.tensor([1e-3, 1.0, 1e3])[:, None, None, None]

    together = layer(pictures)

    for one, picture_alone in zip(together, torch.split(pictures, 1), strict=True):
        assert apart(one, layer(picture_alone)[0]) < 1e-4
    assert not layer(torch.zeros(1, 32, 4, 4)).isnan().any()


@pytest.mark.parametrize(
    ("layer", "expected"),
    [
        ((1280, 1280, 3, 1, 1), True),  # SD-Turbo's lower levels
        ((2560, 1280, 3, 1, 1), True),
        ((1920, 640, 3, 1, 1), False),  # the matrix would cost more than the product saves
        ((320, 320, 3, 1, 1), False),
        ((1280, 1280, 3, 2, 1), False),  # four numbers looked at for one result
        ((1288, 1280, 3, 1, 1), False),  # no multiple of 16
        ((4, 1280, 3, 1, 1), False),
        ((1280, 1280, 5, 1, 2), False),
        ((1280, 1280, 3, 1, 2, 2), False),  # dilated
        ((1280, 1280, 3, 1, 1, 1, 2), False),  # in groups
        ((64, 64, 1), True),
    ],
)
def test_convolutions_go_into_eight_bits_where_that_pays(
    layer: tuple[int, ...], expected: bool
) -> None:
    assert suits(nn.Conv2d(*layer, device="meta")) == expected
    assert not suits(nn.Conv2d(1280, 1280, 3, 1, 1, padding_mode="reflect", device="meta"))


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_what_is_multiplied_lies_as_a_gpu_wants_it(
    monkeypatch: pytest.MonkeyPatch, layout: torch.memory_format
) -> None:
    """Rows after rows, columns after columns, a scale a row and a column. A CPU takes anything."""
    multiply, seen = torch._scaled_mm, []

    def watched(one: Tensor, other: Tensor, *scales: Tensor, **more: object) -> Tensor:
        seen.append((one.stride(), other.stride(), [tuple(each.shape) for each in scales[:2]]))
        assert all(each.is_contiguous() for each in scales[:2])
        return multiply(one, other, *scales, **more)

    monkeypatch.setattr(torch, "_scaled_mm", watched)
    values = torch.randn(2, 16, 4, 6).to(memory_format=layout)

    Float8Linear(nn.Conv2d(16, 32, 1).to(memory_format=layout))(values)
    Float8Linear(nn.Linear(16, 32))(values.flatten(2).transpose(1, 2))
    convolution = Float8Convolution(nn.Conv2d(16, 32, 3, 1, 1).to(memory_format=layout))
    convolution(values)
    convolution(values[:1])

    assert seen == [
        *2 * [((16, 1), (1, 16), [(48, 1), (1, 32)])],
        ((144, 1), (1, 144), [(48, 1), (1, 32)]),
        ((144, 1), (1, 144), [(24, 1), (1, 32)]),
    ]


def test_each_row_and_each_channel_has_a_scale_of_its_own() -> None:
    layer = nn.Linear(64, 32, bias=False)
    layer.weight.data *= torch.logspace(-4, 4, 32)[:, None]
    values = torch.randn(9, 64) * torch.logspace(-5, 3, 9)[:, None]

    given, expected = Float8Linear(layer)(values), layer(values)

    distances = (given - expected).abs() / (values.norm(dim=1)[:, None] * layer.weight.norm(dim=1))
    assert float(distances.max()) < 0.03


def test_rows_of_zeros_give_the_bias() -> None:
    layer = nn.Linear(16, 16)
    given = Float8Linear(layer)(torch.zeros(3, 16))
    assert apart(given, layer.bias.detach().expand(3, -1)) < 2**-8


def test_what_half_precision_cannot_hold_on_the_way_comes_out_finite() -> None:
    layer = nn.Linear(1024, 16, bias=False)
    layer.weight.data.fill_(1.0)
    given = Float8Linear(layer)(torch.full((2, 1024), 60.0, dtype=torch.float16))
    assert given.dtype == torch.float16
    assert apart(given.float(), torch.full((2, 16), 61440.0)) < 2**-7


HARM = {"a": 0.001, "b": 0.5, "c": 0.01, "d": 0.03}


def quadratic(kinds: Kinds) -> float:
    return float(sum(HARM[kind] ** 2 for kind in kinds) ** 0.5)


@pytest.mark.parametrize(
    ("limit", "chosen"), [(1.0, "abcd"), (0.1, "acd"), (0.02, "ac"), (0.005, "a"), (0.0001, "")]
)
def test_kinds_that_harm_most_go_back_until_the_rest_is_good_enough(
    monkeypatch: pytest.MonkeyPatch, limit: float, chosen: str
) -> None:
    monkeypatch.setattr(float8, "LIMIT", limit)
    left, error = choose({kind: [kind] for kind in HARM}, quadratic)
    assert "".join(left) == chosen
    assert error == pytest.approx(quadratic(left))


def test_a_kind_that_gives_no_number_goes_back() -> None:
    def error(kinds: Kinds) -> float:
        found = [torch.full((1,), torch.nan if "b" in kinds else 1.0)]
        return float8._apart(found, [torch.ones(1)])

    left, found = choose({"a": ["a"], "b": ["b"]}, error)

    assert (list(left), found) == (["a"], 0.0)


def test_a_unet_in_fp8_predicts_within_the_limit_what_it_predicted(
    bench: Bench, caplog: pytest.LogCaptureFixture, convolutions: bool
) -> None:
    plain, config = bench.config("sdxl"), bench.config("sdxl", precision="fp8")
    folder = open_folder(config)
    one, other = (EagerNetworks(folder, each, quiet) for each in (config, plain))
    shape = folder.unet.config["in_channels"], folder.words_shape

    found, expected = (denoised(networks, 4, *shape) for networks in (one, other))

    assert 0 < apart(found, expected) < 2 * float8.LIMIT  # of inputs that the gate did not see
    layers = sum(map(len, layers_by_kind(other._denoiser).values()))
    used = [each for each in one._denoiser.modules() if isinstance(each, Float8Layer)]
    assert 0 < len(used) <= layers
    kinds = layers_by_kind(other._denoiser)
    assert ("resnets.conv1" in kinds) == convolutions
    assert one.precision.startswith(f"fp8 in {len(used)} of {layers} layers, ")
    assert ("fp32 stay: " in caplog.text) == (len(used) < layers)
    assert other.precision == "fp32"


def test_a_unet_that_loses_too_much_stays_as_it_was_and_says_so(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(float8, "LIMIT", 1e-5)
    monkeypatch.setattr(  # the others take the same way
        float8, "layers_by_kind", lambda denoiser: dict(list(layers_by_kind(denoiser).items())[:2])
    )
    plain, config = bench.config("sd15"), bench.config("sd15", precision="fp8")
    folder, said = open_folder(config), []
    one, other = (EagerNetworks(folder, each, said.append) for each in (config, plain))

    found, expected = (denoised(networks, 2, 4, folder.words_shape) for networks in (one, other))

    assert torch.equal(found, expected)
    assert one.precision.startswith("fp8 in 0 of ")
    assert f"{folder.name}: {one.precision}" in said
    with caplog.at_level(logging.WARNING):
        assert "fp32 stay: " in caplog.text


def test_rows_in_fp8_do_not_see_who_shares_their_call(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(float8_layers, "pays", lambda layer: True)
    monkeypatch.setattr(float8, "LIMIT", 1.0)
    config = bench.config("turbo", precision="fp8")
    folder = open_folder(config)
    networks = EagerNetworks(folder, config, quiet)
    rows = torch.randn(3, 4, 8, 8) * torch.tensor([0.1, 1.0, 10.0])[:, None, None, None]
    prompts = torch.cat([networks.condition(torch.randn(1, *folder.words_shape)) for _ in rows])
    times = [99.0, 499.0, 999.0]

    together = networks.denoise(rows, times, prompts)

    for row in range(3):
        alone = networks.denoise(rows[row : row + 1], times[row : row + 1], prompts[row : row + 1])
        assert apart(together[row], alone[0]) < 1e-4


def test_graphs_in_fp8_give_what_eager_gives_in_it(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, convolutions: bool
) -> None:
    stand_in(monkeypatch)
    monkeypatch.setattr(float8, "LIMIT", 1.0)
    config = bench.config("turbo", precision="fp8", max_rows=2)
    folder = open_folder(config)
    graphs, eager = (make(folder, config, quiet) for make in (GraphNetworks, EagerNetworks))

    found, expected = (denoised(each, 2, 4, folder.words_shape) for each in (graphs, eager))

    assert apart(found, expected) < 1e-2  # where rounding falls to the other side
    more = 18 if convolutions else 0
    assert graphs.precision.startswith(f"fp8 in {32 + more} of {32 + more} ")  # fused: fewer
    assert eager.precision.startswith(f"fp8 in {40 + more} of {40 + more} ")
    assert Engine(config, folder, graphs).info.precision == graphs.precision


def test_the_trained_model_shows_nearly_the_same_in_fp8() -> None:
    """Its UNet is the only one here whose weights are not random; and what is left alone is."""
    style = StyleParams(prompt="pencil drawing", deflicker=0.0)
    shown = []
    for precision in ("auto", "fp8"):
        config = EngineConfig(
            width=128, height=128, device="cpu", backend="eager", precision=precision
        )
        folder = open_folder(config)
        networks = EagerNetworks(folder, config, quiet)
        shown.append(alone(Engine(config, folder, networks), picture(side=128), style))

    assert networks.precision.startswith("fp8 in 81 of 81 ")
    assert 0 < mean_levels_apart(*shown) < 1
    assert np.abs(shown[0].astype(int) - picture(side=128)).mean() > 4  # something is done
    denoiser = networks._denoiser
    for part in (denoiser.text, denoiser.time):
        assert not any(isinstance(each, Float8Layer) for each in part.modules())
    around = [m for name, m in denoiser.unet.named_modules() if name.endswith("conv_shortcut")]
    assert {type(each) for each in around} == {nn.Conv2d}


@pytest.mark.parametrize(
    ("device", "capability"), [("cpu", (9, 0)), ("cuda", (8, 6)), ("cuda", (7, 5))]
)
def test_a_device_without_such_numbers_is_refused_with_what_to_do(
    monkeypatch: pytest.MonkeyPatch, device: str, capability: tuple[int, int]
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: device == "cuda")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: capability)
    config = EngineConfig(precision="fp8", backend="eager")
    with pytest.raises(BackendUnavailable, match=r"capability 8\.9 .* set precision auto"):
        choose_backend(config)
    choose_backend(EngineConfig(backend="eager"))


@pytest.mark.parametrize("capability", [(8, 9), (9, 0), (12, 0)])
def test_a_device_that_has_them_is_taken(
    monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int]
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: capability)
    check_precision(EngineConfig(precision="fp8"), "cuda")


@pytest.mark.parametrize("backend", ["openvino", "tensorrt"])
def test_backends_that_choose_their_own_precision_refuse_fp8(backend: str) -> None:
    with pytest.raises(ConfigError, match=f"precision fp8: backend {backend} chooses its own"):
        EngineConfig(precision="fp8", backend=backend)  # type: ignore[arg-type]  # a test's own


eighth = pytest.mark.skipif(
    not torch.cuda.is_available() or torch.cuda.get_device_capability() < (8, 9),
    reason="no GPU that multiplies fp8",
)


@pytest.mark.gpu
@gpu
@eighth
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("layer", [(1280, 1280, 3, 1, 1), (64, 96, 3, 2, 1), (64, 96, 1)])
def test_a_gpu_convolves_in_fp8_as_the_cpu_does(
    layer: tuple[int, ...], layout: torch.memory_format
) -> None:
    made = in_float8(nn.Conv2d(*layer))
    values = torch.randn(3, layer[0], 16, 8).to(memory_format=layout)
    expected = made(values)

    given = made.cuda()(values.cuda())

    assert apart(given.cpu(), expected) < 1e-3  # sums in another order, in bf16


@pytest.mark.gpu
@gpu
@eighth
@pytest.mark.parametrize("backend", ["eager", "graphs"])
def test_a_gpu_shows_in_fp8_nearly_what_it_shows_in_half_precision(
    bench: Bench, backend: str, convolutions: bool
) -> None:
    style = StyleParams(prompt="ink", strength=0.6, steps=2, deflicker=0.0)
    engines = [
        build_engine(bench.config("turbo", device="cuda", backend=backend, precision=precision))
        for precision in ("fp8", "auto")
    ]

    one, other = (alone(engine, picture(), style) for engine in engines)

    assert [engine.info.precision for engine in engines][1] == "fp16"
    assert not str(engines[0].info.precision).startswith("fp8 in 0 ")
    assert mean_levels_apart(one, other) < 2
