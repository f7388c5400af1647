import json
import random
import re
import subprocess
import sys
import threading
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch.nn import functional

from pipeline.config import EngineConfig
from pipeline.embedded import (
    WEIGHTS,
    data,
    distil,
    drawing,
    evaluate,
    export,
    heldout,
    shading,
    unpack,
    wording,
)
from pipeline.embedded.filters import FILTERS
from pipeline.embedded.styles import STYLES
from pipeline.embedded.teachers import halved
from pipeline.embedded.training import Training, ahead, half_precision
from pipeline.engine import build_engine
from pipeline.models.folder import open_folder
from pipeline.models.loader import load_text
from pipeline.models.patch_autoencoder import PatchAutoencoder
from pipeline.models.static_text import StaticTextEncoder
from pipeline.params import StyleParams
from pipeline.prompts import Prompts
from pipeline.results import Image
from tests.pipeline.conftest import alone, make_static_text, picture

SHIPPED = pytest.mark.skipif(
    not (WEIGHTS / "model_index.json").exists(), reason="no weights in this checkout"
)


def smooth(count: int, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, 3, 6, 6, generator=generator) * 2 - 1
    return functional.interpolate(coarse, 64, mode="bicubic", align_corners=True).clamp(-1, 1)


def linear_autoencoder(latent_channels: int = 16) -> PatchAutoencoder:
    model = PatchAutoencoder(latent_channels, fine_channels=8, coarse_channels=8)
    patches = functional.pixel_unshuffle(smooth(40, 0), 8).permute(0, 2, 3, 1).reshape(-1, 192)
    model.set_principal_components(patches)
    return model.eval()


def psnr(one: torch.Tensor, other: torch.Tensor) -> float:
    return float(-10 * ((one - other) / 2).square().mean().log10())


@SHIPPED
def test_the_shipped_styles_have_names_prompts_and_examples() -> None:
    presets = open_folder(EngineConfig()).presets

    assert len(presets) >= 8
    assert len({preset.name for preset in presets}) == len(presets)
    assert all(preset.prompt and preset.examples for preset in presets)


MEANINGLESS = (
    "bicycle repair manual", "the quarterly report", "how to bake bread", "stock market crash",
    "a dog", "xyzzy plugh", "my grandmother's recipe", "football match results", "car insurance",
    "quantum chromodynamics", "please restart the server", "seven hundred apples", "sleep",
    "tax return form", "the train to Berlin", "hello", "university lecture", "shoe size",
    "wifi password", "running fast", "milk and eggs", "astronomy homework", "parliament debate",
    "an elephant in the garden", "broken printer",
)  # fmt: skip


@SHIPPED
def test_the_shipped_model_reads_wordings_that_training_never_had() -> None:
    folder = open_folder(EngineConfig())
    text, names = load_text(folder, torch.device("cpu")), [p.name for p in folder.presets]
    prompts = Prompts(text, tuple(names))
    assert text.judge is not None
    asked = json.loads(heldout.WORDINGS.read_text()).items()
    read: list[bool] = []
    for name, wordings in asked:
        for words in wordings:
            shares = text.judge(prompts.get(words))[:-1]
            read.append(names[shares.index(max(shares))] == name)
    told = [prompts.hint(words) for _, wordings in asked for words in wordings]

    assert len(read) == 200
    assert sum(read) >= 180  # 190 of the eleventh version
    assert sum(hint is not None for hint in told) <= 6
    for spec in STYLES:
        assert prompts.hint(spec.prompt) is None
        assert prompts.hint(spec.name) is None
    assert sum(prompts.hint(words) is not None for words in MEANINGLESS) >= 19  # 21 of the eighth


@pytest.fixture(scope="module")
def restyle() -> evaluate.Restyler:
    """The shipped model."""
    config = EngineConfig(backend="eager", device="cpu", threads=1)
    return evaluate.Restyler(build_engine(config))


@pytest.fixture(scope="module")
def webcam() -> Image:
    return halved(next(heldout.clip(heldout.WEBCAM, 300, 1)))


def far(one: Image, other: Image) -> float:
    """The mean difference in levels."""
    return float(np.abs(one.astype(float) - other).mean())


@SHIPPED
def test_a_blend_lies_between_both_styles_and_moves_with_its_weight(
    restyle: evaluate.Restyler, webcam: Image
) -> None:
    neon, pencil = "neon lights at night", "a pencil drawing"
    ends = [restyle(webcam, prompt) for prompt in (neon, pencil)]
    blends = [
        restyle(webcam, f"{neon}:{100 - share} AND {pencil}:{share}") for share in (20, 40, 60, 80)
    ]
    from_neon, from_pencil = (
        [far(each, end) for each in (ends[0], *blends, ends[1])] for end in ends
    )

    assert from_neon == sorted(from_neon)
    assert from_pencil == sorted(from_pencil, reverse=True)
    assert from_neon[-1] > 40
    assert max(far(*pair) for pair in pairwise([ends[0], *blends, ends[1]])) < 0.6 * from_neon[-1]


@SHIPPED
@pytest.mark.parametrize("prompt", ["neon lights at night", "a soft watercolour"])
def test_more_strength_and_more_guidance_go_further_from_the_camera(
    restyle: evaluate.Restyler, webcam: Image, prompt: str
) -> None:
    def away(**values: float) -> float:
        return far(restyle(webcam, prompt, **values), webcam)

    by_strength = [away(strength=strength) for strength in (0.2, 0.5, 0.9)]
    by_guidance = [away(guidance_scale=scale) for scale in (1.0, 2.0, 3.0)]

    assert by_strength == sorted(by_strength)
    assert by_strength[2] > 1.5 * by_strength[0]
    assert by_guidance == sorted(by_guidance)
    assert by_guidance[2] > 1.1 * by_guidance[0]


@SHIPPED
def test_a_negative_prompt_takes_its_style_away(restyle: evaluate.Restyler, webcam: Image) -> None:
    neon = restyle(webcam, "neon lights at night")
    mixed, apart = (
        restyle(
            webcam, "half neon, half oil painting", guidance_scale=2.0, negative_prompt=negative
        )
        for negative in ("", "neon")
    )

    assert far(apart, neon) > 1.1 * far(mixed, neon)


@SHIPPED
def test_training_goes_on_from_the_shipped_weights(tmp_path: Path) -> None:
    unpack.unpack(WEIGHTS, tmp_path)
    export.export(tmp_path, tmp_path / "again")

    for part in ("unet/diffusion_pytorch_model", "vae/diffusion_pytorch_model"):
        shipped = load_file(WEIGHTS / f"{part}.safetensors")
        again = load_file(tmp_path / f"again/{part}.safetensors")
        assert shipped.keys() == again.keys()
        assert all(torch.equal(value, again[name]) for name, value in shipped.items())


def test_training_goes_on_where_its_checkpoint_was_kept(tmp_path: Path) -> None:
    def begun() -> Training:
        models = {"net": torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Linear(8, 2))}
        return Training(models, tmp_path / "net.pt", 1e-2, torch.device("cpu"))

    def learn(training: Training, seed: int) -> None:
        given = torch.randn(16, 4, generator=torch.Generator().manual_seed(seed))
        training.step({"loss": training.models["net"](given).square().mean()}, 0.1)

    first = begun()
    for seed in range(3):
        learn(first, seed)
    first.save()
    again = begun()

    def assert_equal() -> None:
        assert again.steps == first.steps
        for one, other in ((again.models, first.models), (again.average, first.average)):
            assert all(torch.equal(v, other.state_dict()[n]) for n, v in one.state_dict().items())
        moments, theirs = (each.optimiser.state_dict()["state"] for each in (again, first))
        assert moments.keys() == theirs.keys() == set(range(4))
        for parameter, values in moments.items():
            assert all(torch.equal(value, theirs[parameter][n]) for n, value in values.items())

    assert again.steps == 3
    assert_equal()
    for training in (first, again):
        learn(training, 7)
    assert_equal()
    assert not list(tmp_path.glob("*.tmp"))


def test_batches_are_drawn_while_the_last_one_is_learnt_from() -> None:
    drawn: list[int] = []
    second = threading.Event()

    def draw() -> torch.Tensor:
        drawn.append(len(drawn))
        if len(drawn) == 2:
            second.set()
        return torch.tensor(drawn[-1])

    batches = ahead(draw, torch.device("cpu"))
    assert int(next(batches)) == 0
    assert second.wait(5)
    assert [int(next(batches)) for _ in range(3)] == [1, 2, 3]


def test_training_computes_in_bfloat16_only_where_the_hardware_does() -> None:
    able = bool(torch.cpu.get_capabilities().get("avx512_bf16"))
    layer = torch.nn.Linear(4, 4)

    with half_precision(torch.device("cpu")):
        computed = layer(torch.zeros(1, 4))

    assert computed.dtype == (torch.bfloat16 if able else torch.float32)


def test_every_style_has_a_teacher_and_words_of_its_own() -> None:
    said: list[set[str]] = []
    for spec in STYLES:
        assert spec.teacher in FILTERS
        words = {spec.prompt, *spec.wordings}
        assert not any(words & others for others in said), spec.name
        said.append(words)


CORES = tuple(w for spec in STYLES for w in (spec.name.lower(), spec.prompt, *spec.wordings))
SMALL = frozenset(
    ("a", "an", "and", "as", "at", "by", "for", "from", "i", "in", "is", "it", "like", "me", "my",
     "of", "on", "the", "this", "to", "with")
)  # fmt: skip


def bare(text: str) -> tuple[str, ...]:
    return tuple(re.findall(r"[\w*]+", text.lower()))


def drawable() -> set[tuple[str, ...]]:
    """All that training says of a style: a star is its free word, and one word may be lost."""
    said = [template.format(core) for template in wording._TEMPLATES for core in CORES]
    said += [template.format(core, "*") for template in wording._WITH_MORE for core in CORES]
    split = [text.split() for text in said]
    long = [words for words in split if len(words) > 3]
    lost = (words[:i] + words[i + 1 :] for words in long for i in range(len(words)))
    return {bare(" ".join(words)) for words in (*split, *lost)}


@SHIPPED
def test_the_wordings_of_the_evaluation_are_kept_from_training() -> None:
    apart: dict[str, list[str]] = json.loads(heldout.WORDINGS.read_text())
    assert list(apart) == [spec.name for spec in STYLES]
    wordings = {bare(words) for several in apart.values() for words in several}
    assert len(wordings) == 200
    taught, cores = drawable(), {bare(core) for core in CORES}
    assert not taught & wordings
    vocabulary = (WEIGHTS / "text_encoder" / "vocab.txt").read_text().splitlines()
    # words of the styles are never free, whatever the table says of the others' likeness
    free = {*vocabulary[wording._FREQUENT]} - {word for core in CORES for word in core.split()}
    for words in wordings:
        starred = {(*words[:i], "*", *words[i + 1 :]) for i, w in enumerate(words) if w in free}
        assert not taught & starred, words
        for template in wording._BLENDS:
            between = re.escape(" ".join(bare(template.format("*", "*")))).replace(r"\*", "(.+)")
            sides = re.fullmatch(between, " ".join(words))
            assert not sides or not {tuple(side.split()) for side in sides.groups()} <= cores, words
    # nor are they a taught wording in another order, or with other small words
    assert not {frozenset(w) - SMALL for w in wordings} & {frozenset(c) - SMALL for c in cores}


def test_drawn_goals_say_what_they_show() -> None:
    random.seed(0)
    encoder = make_static_text()
    wordings = wording.Wordings(encoder.vocabulary, encoder.table)
    source, styled = torch.zeros(1, 1, 1), torch.arange(1.0, len(STYLES) + 1)[:, None, None, None]
    goals = [wordings.goal() for _ in range(300)]

    for goal in goals:
        shown = float(goal.picture(source, styled[list(goal.styles)]))
        if not goal.styles:
            assert shown == 0
        elif len(goal.styles) == 1:
            assert shown == goal.styles[0] + 1
        else:
            one, other = (index + 1 for index in goal.styles)
            assert shown == pytest.approx(one + goal.weight * (other - one), abs=1e-4)
    assert {len(goal.styles) for goal in goals} == {0, 1, 2}
    assert any(goal.prompt and not goal.styles for goal in goals)  # words that mean no style


def test_noise_is_carried_by_whole_pixels_and_stays_white() -> None:
    torch.manual_seed(0)
    first, second = drawing.carried_noise(64, 128, (0, 5))

    for field in (first, second):
        assert float(field.var()) == pytest.approx(1, abs=0.05)
        assert abs(float((field[..., 1:] * field[..., :-1]).mean())) < 0.02
    # five of eight columns of each latent have moved on to the next
    together = float((first[..., 1:] * second[..., :-1]).mean())
    assert together == pytest.approx(5 / 8, abs=0.05)
    same, again = drawing.carried_noise(4, 64, (0, 0))
    assert torch.equal(same, again)


def test_painted_patches_are_calm_and_keep_their_edges() -> None:
    random = np.random.default_rng(0)
    halves = np.where(np.arange(96) < 48, 60, 190)[None, :, None] * np.ones((96, 1, 3))
    noisy = np.clip(halves + 12 * random.standard_normal((96, 96, 3)), 0, 255).astype(np.uint8)

    patches = shading.painted(noisy, 8, 6).astype(float)

    assert patches[:, :40].std() < 0.4 * noisy[:, :40].std()
    step = patches.mean((0, 2))
    assert step[50] - step[45] > 0.9 * 130  # a blur as wide would leave half of it


def test_drawn_rows_show_the_styles_that_their_words_mean(tmp_path: Path) -> None:
    random.seed(0)
    torch.manual_seed(0)
    (tmp_path / "styled").mkdir()
    levels = np.arange(1 + len(STYLES), dtype=np.uint8)[:, None, None, None]
    stack = np.broadcast_to(128 + levels, (1 + len(STYLES), 256, 256, 3))
    np.save(tmp_path / "styled" / "one.npy", stack)
    drawn = drawing.Drawn(tmp_path, make_static_text(), channels=16)

    rows, pairs = drawn.rows(64, 128), drawn.pairs(2, 128)

    for image, meant, weight in zip(
        rows.styled, rows.prompts.styles[:, :-1], rows.prompts.weight, strict=True
    ):
        if meant.any() and not weight:
            style = float((meant * torch.arange(1, len(STYLES) + 1)).sum())  # a blend: the mean
            assert float(image.mean()) == pytest.approx((128 + style) / 127.5 - 1, abs=1e-4)
    assert rows.noise.shape == (2, 64, 16, 16, 16)
    assert set(rows.along.tolist()) >= {0.0, 1.0}
    assert pairs.source.shape == (4, 3, 128, 128)
    assert len(pairs.shifts) == 2


def test_pairs_that_move_together_are_steady() -> None:
    large = torch.rand(3, 70, 70)
    pair = torch.stack([large[:, :64, :64], large[:, 4:68, 2:66]])

    assert float(distil.unsteadiness(pair, [(4, 2)])) == 0
    assert float(distil.unsteadiness(pair, [(0, 0)])) > 0.2


def test_a_light_touch_is_asked_for_less_of_the_style_and_pairs_take_the_same_steps() -> None:
    random.seed(0)
    torch.manual_seed(0)
    drawn = [distil.draw_timesteps(2) for _ in range(100)]

    for levels, share in drawn:
        assert all(torch.equal(steps[::2], steps[1::2]) for steps in levels)
        torch.testing.assert_close(share, (levels[0] / 700).clamp(max=1))
    assert {len(levels) for levels, _ in drawn} == {1, 2}
    light = [share for levels, share in drawn if len(levels) == 1 and bool((share < 0.9).any())]
    assert 5 <= len(light) <= 30
    assert all(bool((share > 0.99).all()) for levels, share in drawn if len(levels) == 2)


@torch.no_grad()
def test_principal_components_alone_reconstruct_pictures_they_never_saw() -> None:
    model, unseen = linear_autoencoder(), smooth(8, 1)

    assert psnr(model(unseen), unseen) > 20
    # and more of them show more
    assert psnr(model(unseen), unseen) > psnr(linear_autoencoder(4)(unseen), unseen)


@torch.no_grad()
def test_latents_are_an_eighth_a_side_and_deterministic() -> None:
    model, images = linear_autoencoder(), smooth(2, 2)

    latents = model.encode(images).latents

    assert latents.shape == (2, 16, 8, 8)
    assert torch.equal(model.encode(images).latents, latents)


@torch.no_grad()
def test_rescaling_changes_latents_and_keeps_pictures() -> None:
    model, images = linear_autoencoder(), smooth(2, 3)
    for layer in (model.encoder[-1], model.decoder[-2]):
        torch.nn.init.normal_(layer.weight, std=0.1)  # no longer only linear
        torch.nn.init.normal_(layer.bias, std=0.1)
    latents, shown = model.encode(images).latents, model(images)
    factors = torch.linspace(0.2, 3, 16)

    model.rescale(factors)

    torch.testing.assert_close(
        model.encode(images).latents, latents * factors[:, None, None], rtol=1e-4, atol=1e-5
    )
    torch.testing.assert_close(model(images), shown, rtol=1e-4, atol=1e-4)


def test_a_text_encoder_comes_back_as_it_was_saved(tmp_path: Path) -> None:
    encoder = make_static_text()

    encoder.save_pretrained(tmp_path / "text")
    back = StaticTextEncoder.from_pretrained(tmp_path / "text")

    step = encoder.table.abs().amax(1, keepdim=True) / 127
    assert ((back.table - encoder.table).abs() <= 0.6 * step).all()  # half a step, fp16 scales
    assert back.vocabulary == encoder.vocabulary
    for prompt in ("ink and oil", "night", ""):
        expected = encoder.encode(prompt)
        assert float((back.encode(prompt) - expected).norm() / expected.norm()) < 0.03
    assert not back.training


def test_an_empty_prompt_is_one_finite_vector_throughout() -> None:
    encoder = make_static_text()

    words = encoder.encode("")

    assert torch.isfinite(words).all()
    torch.testing.assert_close(words[0], encoder.nothing.expand(16, -1).detach())


def test_words_beyond_the_window_are_cut_off() -> None:
    encoder = make_static_text()
    long = " ".join(["ink", "oil", "night", "a"] * 10)

    assert encoder.token_ids(long).shape == (16,)
    assert torch.equal(encoder.encode(long), encoder.encode(" ".join(long.split()[:16])))


def test_padding_does_not_reach_the_words_before_it() -> None:
    encoder = make_static_text()
    before = encoder.encode("ink oil")[0, :2].clone()

    encoder.table[0] = 100.0

    torch.testing.assert_close(encoder.encode("ink oil")[0, :2], before)


def test_case_and_unknown_characters_do_no_harm() -> None:
    encoder = make_static_text()

    assert torch.equal(encoder.encode("INK"), encoder.encode("ink"))
    assert torch.isfinite(encoder.encode("墨 🎨 \x00 é")).all()


def test_edges_within_two_pixels_agree_and_others_do_not() -> None:
    def square(at: int) -> Image:
        image = np.zeros((96, 96, 3), np.uint8)
        image[at : at + 40, 20:60] = 220
        return image

    plain = np.zeros((96, 96, 3), np.uint8)
    assert evaluate.edge_f1(square(20), square(20)) == pytest.approx(1)
    assert evaluate.edge_f1(square(20), square(22)) > 0.95
    assert evaluate.edge_f1(square(20), square(28)) < 0.8
    assert evaluate.edge_f1(square(20), plain) == 0


def test_a_style_is_separable_where_its_own_teacher_is_the_nearest() -> None:
    apart = torch.tensor([[0.1, 0.5, 0.9], [0.2, 0.3, 0.9], [0.9, 0.8, 0.1]])

    assert evaluate.separability([apart], [0, 1, 2]) == pytest.approx(2 / 3, abs=1e-3)
    assert evaluate.separability([apart], [0, 2]) == 1  # its wrong neighbour is not among them
    assert evaluate.separability([apart, 1 - apart], [1, 2]) == pytest.approx(0.5)
    generator = torch.Generator().manual_seed(0)
    teachers = [torch.rand(4, size, size, generator=generator) for size in (8, 16)]
    dimmed = [0.5 * texture + 0.01 for texture in teachers]
    for how in (evaluate.distances, evaluate.angles):
        rows = how(dimmed, teachers)
        assert rows.shape == (4, 4)
        assert rows.argmin(1).tolist() == [0, 1, 2, 3]
    assert float(evaluate.distances(teachers, teachers).diagonal().abs().max()) == 0


def test_a_sheet_shows_every_style_with_all_its_people() -> None:
    rows = [[np.full((64, 64, 3), 7 * i, np.uint8)] * 2 for i in range(len(STYLES))]

    sheet = evaluate.contact_sheet(rows, columns=5, side=16)

    assert sheet.shape == (7 * (16 + 28), 5 * 2 * 16, 3)  # 32 styles in seven lines of five
    for i in range(len(STYLES)):
        top, left = i // 5 * 44, i % 5 * 32
        assert (sheet[top : top + 16, left : left + 32] == 7 * i).all()
        assert sheet[top + 16 : top + 44, left : left + 32].max() > 100  # its name
    assert not sheet[6 * 44 :, 2 * 32 :].any()


def test_every_package_that_is_fetched_stands_in_the_provenance() -> None:
    provenance = json.loads((WEIGHTS / "provenance.json").read_text())
    training = provenance["photos and clips (training; none is shipped)"]
    own = [value for value in vars(heldout).values() if isinstance(value, data.Package)]
    assert len(own) == 5

    def files(package: data.Package) -> list[str]:
        return [re.split(r"[/.]", pattern)[-2] for pattern in package.patterns]

    for packages, part in ((data.PACKAGES, training), (own, provenance["held out from training"])):
        said = json.dumps(part)
        for package in packages:
            assert re.sub("==|(?<=.)@", " ", package.name) in said
            if package.registry != "debian":  # of those whole folders are taken
                assert all(file.replace("?", "1-6") in said for file in files(package))
    (science,) = (package for package in data.PACKAGES if "scikit-image" in package.name)
    (told,) = (each["files"] for each in training if "scikit-image" in each["package"])
    assert told == ", ".join(files(science))  # and no others


@pytest.mark.slow
def test_the_recipe_runs_from_pictures_to_a_model_that_restyles(tmp_path: Path) -> None:
    """Every stage for a moment, without a network."""
    cache, to = tmp_path / "cache", tmp_path / "weights"
    program = (
        "import importlib, sys, torch\n"
        "cache, to = sys.argv[1:]\n"
        "smoke = ('data', 'teachers --part 0/4', 'text_table', 'train_autoencoder', 'train_unet',\n"
        "         'distil', 'train_head')\n"
        "for call in [*(f'{stage} --smoke' for stage in smoke), f'export --to {to}']:\n"
        "    stage, *more = call.split()\n"
        "    sys.argv = [stage, '--cache', cache, *more]\n"
        "    importlib.import_module(f'pipeline.embedded.{stage}').main()\n"
    )

    ran = subprocess.run(
        [sys.executable, "-c", program, str(cache), str(to)],
        capture_output=True, text=True, timeout=150,
    )  # fmt: skip

    assert ran.returncode == 0, ran.stderr[-2000:]
    assert json.loads((to / "scheduler/scheduler_config.json").read_text())["prediction_type"] == (
        "sample"
    )
    engine = build_engine(
        EngineConfig(model=str(to), width=64, height=64, backend="eager", device="cpu", threads=1)
    )
    image = alone(engine, picture(), StyleParams(prompt="ink", steps=2))
    assert image.shape == (64, 64, 3)
    assert len(np.unique(image)) > 8
    assert len(engine.info.presets) == len(STYLES)


@SHIPPED
@pytest.mark.long
def test_the_evaluation_runs_on_a_made_up_picture(tmp_path: Path) -> None:
    """Without a network, within two minutes."""
    program = [sys.executable, "-m", "pipeline.embedded.evaluate", "--smoke", "--json"]

    ran = subprocess.run(
        [*program, "--cache", str(tmp_path), "--sheet", str(tmp_path / "sheet.png")],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip

    assert ran.returncode == 0, ran.stderr[-2000:]
    figures = json.loads(ran.stdout)
    assert figures["identity_psnr"] > 20
    assert figures["agreement_psnr"] > 12
    assert 0 <= figures["wordings"] <= 1
    assert len(figures["wordings_missed"]) <= len(STYLES)
    assert (tmp_path / "sheet.png").stat().st_size > 10_000
