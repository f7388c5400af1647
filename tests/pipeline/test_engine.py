import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
from diffusers import DDPMScheduler, UNet2DConditionModel
from torch import Tensor

from pipeline import guidance, scheduler, warm_up
from pipeline.backends.simulated import Clock, Device
from pipeline.config import EngineConfig
from pipeline.engine import Engine
from pipeline.errors import ConfigError
from pipeline.flow import FrameMotion, InputFlow
from pipeline.models.folder import open_folder
from pipeline.models.loader import load_text
from pipeline.models.patch_autoencoder import PatchAutoencoder
from pipeline.params import StyleParams
from pipeline.results import Image
from pipeline.session_state import Followed, SessionState
from pipeline.slots import Slot
from tests.pipeline.conftest import (
    FAMILIES,
    POOLED,
    SIDE,
    Bench,
    Recording,
    alone,
    apart,
    drain,
    levels_apart,
    moving,
    noting_latents,
    picture,
    play,
)

INK = StyleParams(prompt="ink", strength=0.8, steps=1, guidance_scale=1.0)
CASES = {
    "one step": INK,
    "four steps": StyleParams(prompt="ink", strength=0.4, steps=4, guidance_scale=1.0, seed=5),
    "self": StyleParams(prompt="oil", strength=0.9, steps=3, guidance_scale=1.7),
    "initialize": StyleParams(
        prompt="oil", negative_prompt="night", strength=0.7, steps=3, guidance_scale=2.5
    ),
}


class Reference:
    """Img2img written down plainly with diffusers' own modules, guidance on the noise side."""

    def __init__(self, path: Path) -> None:
        self.unet = UNet2DConditionModel.from_pretrained(path / "unet").eval()
        self.scheduler = DDPMScheduler.from_pretrained(path / "scheduler")
        self.kind = self.scheduler.config.prediction_type
        index = UNet2DConditionModel.load_config(path / "vae")
        name = index["_class_name"]
        loader = PatchAutoencoder if name == "PatchAutoencoder" else getattr(diffusers, name)
        self.vae = loader.from_pretrained(path / "vae").eval()
        self.factor = self.vae.config.scaling_factor

    @torch.no_grad()
    def run(self, image: Image, params: StyleParams, words: Tensor, negative: Tensor) -> Tensor:
        abar = self.scheduler.alphas_cumprod.double()
        room = int(50 * params.strength + 0.5)
        taus = [999 - 20 * (50 - room + i * (room // params.steps)) for i in range(params.steps)]
        pixels = torch.from_numpy(image)[None].permute(0, 3, 1, 2) / 127.5 - 1
        encoded = self.vae.encode(pixels)
        latent = encoded.latent_dist.mode() if hasattr(encoded, "latent_dist") else encoded.latents
        z = latent * self.factor
        noise = SessionState(tuple(z.shape[1:]), torch.device("cpu")).noise.still(params)
        x, z_away = z, z
        for k, tau in enumerate(taus):
            a, b = abar[tau].sqrt().float(), (1 - abar[tau]).sqrt().float()
            x = a * x + b * noise[k : k + 1]
            eps = self.eps(x, latent, tau, words, a, b)
            if params.guidance_scale > 1:
                if params.negative_prompt and k == 0:
                    z_away = (x - b * self.eps(x, latent, tau, negative, a, b)) / a
                stock = (x - a * z_away) / b
                eps = stock + params.guidance_scale * (eps - stock)
            x = (x - b * eps) / a
        return x

    def eps(
        self, x: Tensor, latent: Tensor, tau: int, words: Tensor, a: Tensor, b: Tensor
    ) -> Tensor:
        rows = torch.cat([x, latent], 1) if self.unet.config.in_channels > x.shape[1] else x
        more = None
        if self.unet.config.addition_embed_type == "text_time":
            pooled = words[:, -1, :POOLED]
            sizes = torch.tensor([[SIDE, SIDE, 0, 0, SIDE, SIDE]])
            more = {"text_embeds": pooled, "time_ids": sizes}
            words = words[:, :-1]
        out = self.unet(rows, tau, words, added_cond_kwargs=more).sample
        if self.kind == "v_prediction":
            return a * out + b * x
        return (x - a * out) / b if self.kind == "sample" else out

    @torch.no_grad()
    def picture(self, latent: Tensor) -> Image:
        pixels = self.vae.decode(latent / self.factor).sample
        return ((pixels + 1) * 127.5).clamp(0, 255).round().byte()[0].permute(1, 2, 0).numpy()


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("family", FAMILIES)
def test_a_frame_equals_plain_img2img_with_diffusers(bench: Bench, family: str, case: str) -> None:
    params = CASES[case]
    engine, networks = bench.engine(family)
    encode = load_text(open_folder(engine.config), torch.device("cpu")).encode
    reference = Reference(bench.models[family])

    image = alone(engine, picture(), params)

    latent = reference.run(
        picture(), params, encode([params.prompt]).clone(), encode([params.negative_prompt]).clone()
    )
    assert apart(networks.latents[-1].clone(), latent) < 1e-4
    assert levels_apart(image, reference.picture(latent)) <= 1


@pytest.mark.parametrize("prompt", ["ink and oil", ""])
def test_sdxl_reads_a_prompt_as_its_own_pipeline_does(bench: Bench, prompt: str) -> None:
    path = bench.models["sdxl"]
    folder = open_folder(bench.config("sdxl"))
    pipeline = diffusers.StableDiffusionXLImg2ImgPipeline.from_pretrained(path)
    with torch.no_grad():
        words, _, pooled, _ = pipeline.encode_prompt(prompt, do_classifier_free_guidance=False)

    ours = load_text(folder, torch.device("cpu")).encode([prompt])

    assert ours.shape == (1, *folder.words_shape)
    torch.testing.assert_close(ours[:, :-1], words)
    torch.testing.assert_close(ours[:, -1, :POOLED], pooled)
    assert not ours[:, -1, POOLED:].any()


@pytest.mark.parametrize("steps", [1, 3])
@pytest.mark.parametrize("family", ["flow", "instaflow"])
def test_a_rectified_flow_follows_eulers_steps(bench: Bench, family: str, steps: int) -> None:
    engine, networks = bench.engine(family)
    params = StyleParams(prompt="ink", strength=0.7, steps=steps, guidance_scale=1.0)
    words = load_text(open_folder(engine.config), torch.device("cpu")).encode(["ink"])
    reference = Reference(bench.models["sd15"])  # for its autoencoder's sake
    unet = UNet2DConditionModel.from_pretrained(bench.models[family] / "unet").eval()
    vae = diffusers.AutoencoderKL.from_pretrained(bench.models[family] / "vae").eval()
    path = bench.models[family] / "scheduler"
    scheduler = (
        diffusers.FlowMatchEulerDiscreteScheduler.from_pretrained(path)
        if family == "flow"
        else diffusers.FlowMatchEulerDiscreteScheduler()
    )
    scheduler.set_timesteps(sigmas=[0.7 * (1 - i / steps) for i in range(steps)])

    alone(engine, picture(), params)

    pixels = torch.from_numpy(picture())[None].permute(0, 3, 1, 2) / 127.5 - 1
    with torch.no_grad():
        z = vae.encode(pixels).latent_dist.mode() * reference.factor
        noise = SessionState(tuple(z.shape[1:]), torch.device("cpu")).noise.still(params)[:1]
        x = scheduler.scale_noise(z, scheduler.timesteps[:1], noise)
        for t in scheduler.timesteps:
            velocity = unet(x, t, words).sample
            x = scheduler.step(velocity if family == "flow" else -velocity, t, x).prev_sample
    assert apart(networks.latents[-1].clone(), x) < 1e-4


@pytest.mark.parametrize("family", FAMILIES)
def test_words_noise_and_picture_all_reach_the_result(bench: Bench, family: str) -> None:
    engine, networks = bench.engine(family)

    for image, params in (
        (picture(), INK),
        (picture(), StyleParams(prompt="night", strength=0.8, guidance_scale=1.0)),
        (picture(), StyleParams(prompt="ink", strength=0.8, guidance_scale=1.0, seed=3)),
        (picture(1), INK),
    ):
        alone(engine, image, params)

    plain, *others = networks.latents
    distances = [apart(other, plain) for other in others]
    assert min(distances) > 1e-3, distances


@pytest.mark.parametrize("kind", ["none", "self", "initialize", "full"])
def test_a_batch_of_steps_is_the_sequential_sampler(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, kind: guidance.Guidance
) -> None:
    """T1.2: frame by frame, to 1e-5 at most in any number of latents about as large as true ones.

    Of random weights that predict noise they reach 38, which fp32 itself rounds by more.
    """
    latents = noting_latents(monkeypatch)
    params = StyleParams(
        prompt="ink", negative_prompt="oil", steps=4, guidance_scale=1.5, guidance=kind
    )
    found, rows = {}, {}

    for schedule in ("step-major", "stream-batch"):
        engine, networks = bench.engine("turbo", schedule=schedule)
        engine.open("ann")
        frames = [("ann", n, picture(n), params) for n in range(5)]
        each = [[frame] for frame in frames] if schedule == "step-major" else [frames]
        numbers = [result.number for some in each for result in play(engine, some)]
        assert numbers == list(range(5))
        found[schedule] = torch.cat([latents["ann", n] for n in range(5)])
        rows[schedule] = max(networks.rows)

    assert rows["step-major"] < 4 <= rows["stream-batch"]
    assert float((found["stream-batch"] - found["step-major"]).abs().max()) <= 1e-5


def test_a_stream_batch_moves_all_its_frames_in_one_call(bench: Bench) -> None:
    engine, networks = bench.engine(schedule="stream-batch")
    params = StyleParams(prompt="ink", steps=4, strength=0.4, guidance_scale=1.0)
    engine.open("ann")

    for number in range(8):
        assert engine.wants("ann", 4)
        engine.submit("ann", number, picture(number), params)
        engine.tick()
    assert networks.rows == [1, 2, 3, 4, 4, 4, 4, 4]
    assert sorted(networks.timesteps[-1]) == [99, 199, 299, 399]


def test_each_network_is_called_once_for_all_sessions(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, networks = bench.engine()
    counts: dict[str, list[int]] = {}
    for name in ("encode", "denoise", "decode"):
        method = getattr(networks, name)

        def counted(first: Tensor, *rest: object, name: str = name, method: Any = method) -> Tensor:
            counts.setdefault(name, []).append(len(first))
            result: Tensor = method(first, *rest)
            return result

        monkeypatch.setattr(networks, name, counted)
    for session in ("ann", "ben", "cat"):
        engine.open(session)
        engine.submit(session, 0, picture(1), INK)

    assert [result.session for result in engine.tick()] == ["ann", "ben", "cat"]
    assert counts == {"encode": [3], "denoise": [3], "decode": [3]}


def test_frames_side_by_side_are_steadied_in_order(bench: Bench) -> None:
    """Both of a session's frames end in one call; their past is the same as one after another."""
    params = replace(INK, deflicker=0.8)
    sensor = np.random.default_rng(0)
    noisy = [picture(1) // 2 + sensor.integers(0, 20, (SIDE, SIDE, 3), np.uint8) for _ in range(8)]
    frames = [("ann", n, image, params) for n, image in enumerate(noisy)]
    shown = {}

    for rows in (1, 2):
        engine, networks = bench.engine(parallel_rows=rows)
        engine.open("ann")
        results = play(engine, frames)
        assert [result.number for result in results] == list(range(8))
        assert max(networks.rows) == rows
        shown[rows] = [result.image for result in results]

    assert max(levels_apart(*pair) for pair in zip(*shown.values(), strict=True)) <= 1
    unsteadied, _ = bench.engine()
    unsteadied.open("ann")
    plain = play(unsteadied, [(*frame[:3], replace(INK, deflicker=0.0)) for frame in frames])
    assert any(levels_apart(a, b.image) > 1 for a, b in zip(shown[2], plain, strict=True))


@pytest.mark.parametrize("steps", range(1, 9))
def test_a_stream_batch_of_n_steps_gives_the_frame_of_n_minus_one_ticks_ago(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, steps: int
) -> None:
    """T1.1: networks that hand the number of a frame through, which its picture shows."""
    engine, networks = bench.engine("embedded", schedule="stream-batch")
    divisor = open_folder(engine.config).source_divisor

    def encode(images: Tensor) -> Tensor:
        return images[:, :1, :1, :1].float().expand(-1, 4, 8, 8)

    def decode(latents: Tensor) -> Tensor:
        levels = latents.mean((1, 2, 3)).round().to(torch.uint8)
        return levels[:, None, None, None].repeat(1, SIDE, SIDE, 3)

    monkeypatch.setattr(networks, "encode", encode)
    monkeypatch.setattr(networks, "denoise", lambda rows, *_: rows[:, 4:] * divisor)
    monkeypatch.setattr(networks, "decode", decode)
    engine.open("ann")
    params = StyleParams(steps=steps, guidance_scale=1.0, deflicker=0.0)
    came: list[list[int]] = []
    for number in range(12):
        assert engine.wants("ann", steps)
        engine.submit("ann", number, np.full((SIDE, SIDE, 3), number, np.uint8), params)
        came.append([int(result.image[0, 0, 0]) for result in engine.tick()])

    assert came == [[]] * (steps - 1) + [[number] for number in range(12 - steps + 1)]


BACKWARD = StyleParams(
    prompt="ink", negative_prompt="oil", steps=3, guidance_scale=1.5, noise="warped", deflicker=1.0
)  # everything in it that looks back


def test_all_schedules_give_the_same_pictures_whatever_looks_back(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """T1b.2: with bank, carried noise and deflicker."""
    latents = noting_latents(monkeypatch)
    images, found, most = moving(6), {}, {}
    for case in (
        ("step-major", "alone"), ("step-major", "in bursts"), ("auto", "in bursts"),
        ("stream-batch", "in bursts"), ("stream-batch", "one a tick"),
    ):  # fmt: skip
        schedule, come = case
        engine, networks = bench.engine(schedule=schedule, feature_bank=2)
        engine._cost = scheduler.Load(1.0, 0.0)  # so that batches pay
        engine.open("ann")
        latents.clear()
        for number, image in enumerate(images):
            while not engine.wants("ann", BACKWARD.steps):
                engine.tick()
            engine.submit("ann", number, image, BACKWARD)
            if come == "one a tick":
                engine.tick()
            elif come == "alone":
                drain(engine)
        drain(engine)
        found[case] = torch.cat([latents["ann", n] for n in range(6)])
        most[case] = max(networks.rows)

    for case, each in found.items():
        assert apart(each, found["step-major", "alone"]) < 1e-5, case
    assert sorted(most.values()) == [2, 2, 4, 6, 6]


def test_a_session_with_rows_of_all_its_steps_beside_step_major_ones_changes_no_picture(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """T1b.2: mixed schedules and types of guidance, with bank, carried noise and deflicker."""
    latents = noting_latents(monkeypatch)
    styles = {
        "ann": replace(BACKWARD, steps=4),
        "ben": replace(BACKWARD, negative_prompt="", guidance_scale=1.8, seed=7),
        "cat": replace(BACKWARD, guidance="full", steps=2, prompt="night"),
        "dan": replace(BACKWARD, guidance_scale=1.0, strength=0.5),
    }
    kinds = [guidance.choose(params) for params in styles.values()]
    assert kinds == ["initialize", "self", "full", "none"]
    films = {name: moving(4 if name == "ann" else 2, seed) for seed, name in enumerate(styles)}
    engine, networks = bench.engine(schedule="stream-batch", feature_bank=2, max_rows=16)
    most = dict.fromkeys(styles, 0)
    left = {name: list(range(len(film))) for name, film in films.items()}
    for name in styles:
        engine.open(name)

    while any(left.values()) or engine.in_flight:
        inside = {slot.session for slot in engine._slots}
        for name, params in styles.items():
            if left[name] and (name == "ann" or name not in inside):
                number = left[name].pop(0)
                engine.submit(name, number, films[name][number], params)
        for name in styles:
            most[name] = max(most[name], sum(slot.session == name for slot in engine._slots))
        engine.tick()
    mixed = dict(latents)

    assert most == {"ann": 4, "ben": 1, "cat": 1, "dan": 1}
    assert max(networks.rows) >= 8
    sequential, _ = bench.engine(schedule="step-major", feature_bank=2, max_rows=1)
    for name, params in styles.items():
        sequential.open(name)
        for number, image in enumerate(films[name]):
            play(sequential, [(name, number, image, params)])
    assert len(mixed) == 10
    for key, latent in latents.items():
        assert apart(mixed[key], latent) < 1e-4, key


@pytest.mark.parametrize("frames", [0, 2])
def test_films_that_share_calls_are_what_they_are_alone(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, frames: int
) -> None:
    """T1b.1: with all that lives between frames, without a bank and with one."""
    latents = noting_latents(monkeypatch)
    films = {
        "ann": (moving(6, 1), BACKWARD),
        "ben": (moving(6, 2, step=3), replace(BACKWARD, steps=2, guidance_scale=1.0, seed=7)),
        "cat": (moving(6, 3), replace(INK, prompt="night", steps=4, deflicker=0.8, strength=0.5)),
    }

    def run(sessions: list[str]) -> dict[tuple[str, int], Tensor]:
        engine, networks = bench.engine(schedule="stream-batch", feature_bank=frames)
        latents.clear()
        for session in sessions:
            engine.open(session)
        for number in range(6):
            for session in sessions:
                images, params = films[session]
                while not engine.wants(session, params.steps):
                    engine.tick()
                engine.submit(session, number, images[number], params)
            engine.tick()
        drain(engine)
        assert max(networks.rows) >= 2 * len(sessions)
        return dict(latents)

    together = run(list(films))
    assert len(together) == 18
    for session in films:
        for key, latent in run([session]).items():
            assert apart(together[key], latent) < 1e-4, key


def test_two_engines_make_the_same_bytes_of_a_film(bench: Bench) -> None:
    """T1.8."""
    shown = []
    for _ in range(2):
        engine, _ = bench.engine()
        engine.open("ann")
        params = replace(BACKWARD, steps=1, guidance_scale=1.0)
        results = play(engine, [("ann", n, image, params) for n, image in enumerate(moving(10))])
        shown.append(np.stack([result.image for result in results]))

    assert shown[0].shape[0] == 10
    assert shown[0].tobytes() == shown[1].tobytes()


def test_motion_is_found_between_admitted_frames_and_no_others(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the similarity filter skips is no end of a motion."""
    engine, _ = bench.engine()
    followed: list[Image] = []
    follow = InputFlow.follow

    def noted(flow: InputFlow, image: Image, everywhere: bool) -> FrameMotion | None:
        followed.append(image)
        return follow(flow, image, everywhere)

    monkeypatch.setattr(InputFlow, "follow", noted)
    params = StyleParams(prompt="ink", noise="warped", similarity_filter=0.9)
    engine.open("ann")
    film = [frame for frame in moving(6, step=6) for _ in range(3)]  # each stands for three
    results = play(engine, [("ann", n, image, params) for n, image in enumerate(film)])

    admitted = [film[result.number] for result in results if not result.skipped]
    assert 6 <= len(admitted) < len(film)
    assert len(followed) == len(admitted)
    assert all(one is other for one, other in zip(followed, admitted, strict=True))


def test_a_session_does_not_see_who_shares_its_batch(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    latents = noting_latents(monkeypatch)
    mixed = {
        "ann": StyleParams(prompt="ink", steps=3, strength=0.6, guidance_scale=1.8, seed=1),
        "ben": StyleParams(prompt="oil", negative_prompt="night", steps=2, seed=9, strength=0.9),
        "cat": StyleParams(prompt="night", steps=4, strength=0.4, guidance_scale=1.0),
        "dan": StyleParams(
            prompt="oil",
            negative_prompt="ink",
            guidance="full",
            steps=3,
            guidance_scale=2.5,
            seed=4,
        ),
    }
    assert {guidance.choose(params) for params in mixed.values()} == {
        "none", "self", "initialize", "full",
    }  # fmt: skip
    engine, networks = bench.engine(schedule="stream-batch")
    for session in mixed:
        engine.open(session)
    images = {session: picture(seed) for seed, session in enumerate(mixed)}

    for session, params in mixed.items():
        engine.submit(session, 0, images[session], params)
    together = {result.session: result.image for result in drain(engine)}

    assert networks.rows[0] == 6  # all four in one call, two of them with two rows
    for session, params in mixed.items():
        fresh, _ = bench.engine()
        assert levels_apart(together[session], alone(fresh, images[session], params)) <= 1
        assert apart(latents[session, 0], latents["alone", 0]) < 1e-4


@pytest.mark.parametrize(
    ("scale", "negative", "rows"), [(1.0, "", 4), (1.0, "oil", 4), (1.5, "", 4), (1.5, "oil", 5)]
)
def test_guidance_costs_no_more_rows_than_its_type_needs(
    bench: Bench, scale: float, negative: str, rows: int
) -> None:
    engine, networks = bench.engine()

    alone(engine, picture(), StyleParams(steps=4, guidance_scale=scale, negative_prompt=negative))

    assert sum(networks.rows) == rows


def test_full_guidance_costs_two_rows_a_step_and_follows_its_formula(bench: Bench) -> None:
    engine, networks = bench.engine()
    params = StyleParams(prompt="ink", negative_prompt="oil", steps=1, guidance_scale=2.0)
    alone(engine, picture(), params)  # with one step, initialize is full
    initialize = networks.latents[-1]

    alone(engine, picture(), replace(params, guidance="full"))
    assert apart(networks.latents[-1], initialize) < 1e-6

    networks.rows.clear()
    alone(engine, picture(1), replace(params, steps=4, guidance="full"))
    assert networks.rows == [2, 2, 2, 2]


def test_no_call_has_more_rows_than_allowed_and_nobody_starves(bench: Bench) -> None:
    engine, networks = bench.engine(max_rows=3, schedule="stream-batch")
    params = StyleParams(prompt="ink", negative_prompt="oil", steps=2, guidance_scale=1.5)
    sessions = [f"session {i}" for i in range(5)]
    for session in sessions:
        engine.open(session)
    came: dict[str, list[int]] = {session: [] for session in sessions}

    for number in range(6):
        for session in sessions.copy():
            if engine.wants(session, params.steps):
                engine.submit(session, number, picture(number), params)
                sessions.append(sessions.pop(sessions.index(session)))  # others waited longer
        for result in engine.tick():
            came[result.session].append(result.number)
    for result in drain(engine):
        came[result.session].append(result.number)

    assert max(networks.rows) <= 3
    assert all(came[session] == sorted(came[session]) != [] for session in sessions)


def test_one_row_a_call_still_moves_a_frame_with_two(bench: Bench) -> None:
    engine, networks = bench.engine(max_rows=1)

    alone(engine, picture(), StyleParams(negative_prompt="oil", guidance_scale=1.5, steps=2))

    assert networks.rows == [2, 1]


CHANGES = [
    StyleParams(prompt="ink", steps=4, strength=0.4),
    StyleParams(prompt="oil", steps=4, strength=0.9, seed=7),
    StyleParams(prompt="oil", steps=2, strength=0.9, seed=7),
    StyleParams(prompt="", strength=0.0),
    StyleParams(prompt="night", negative_prompt="ink", steps=3, guidance_scale=3.0),
    StyleParams(prompt="ink", steps=1, strength=0.5, guidance_scale=1.0),
    StyleParams(prompt="oil", negative_prompt="ink", steps=3, guidance_scale=2.0, guidance="full"),
    StyleParams(
        prompt="night", negative_prompt="oil", steps=3, guidance_scale=2.0, guidance="full"
    ),
    StyleParams(prompt="ink", steps=8, strength=1.0),
]


@pytest.mark.parametrize("schedule", ["step-major", "stream-batch"])
def test_each_frame_is_made_with_the_values_it_was_admitted_with(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, schedule: str
) -> None:
    choose, kinds = guidance.choose, set()

    def chosen(params: StyleParams) -> guidance.Guidance:
        kinds.add(kind := choose(params))
        return kind

    monkeypatch.setattr(guidance, "choose", chosen)
    latents = noting_latents(monkeypatch)
    engine, _ = bench.engine(schedule=schedule)
    engine.open("ann")
    count = 2 * len(CHANGES)
    frames, results = [(n, CHANGES[n % len(CHANGES)]) for n in range(count)], []

    for number, params in frames:
        while not engine.wants("ann", params.steps):
            results += engine.tick()
        engine.submit("ann", number, picture(number), params)
        results += engine.tick()  # so that frames in flight are at different steps
    results += drain(engine)

    assert [result.number for result in results] == list(range(count))
    assert kinds == {"none", "self", "initialize", "full"}
    fresh, _ = bench.engine()
    for result, (number, params) in zip(results, frames, strict=True):
        assert levels_apart(result.image, alone(fresh, picture(number), params)) <= 1, params
        if params.strength:
            assert apart(latents["ann", number], latents["alone", 0]) < 1e-4, params


def test_a_frame_with_fewer_steps_does_not_overtake_an_older_one(bench: Bench) -> None:
    engine, _ = bench.engine(schedule="stream-batch")
    engine.open("ann")
    engine.submit("ann", 0, picture(), StyleParams(steps=4))
    engine.tick()
    engine.submit("ann", 1, picture(), StyleParams(steps=2))
    engine.submit("ann", 2, picture(), StyleParams(strength=0.0))

    ticks = [[result.number for result in engine.tick()] for _ in range(3)]

    assert ticks == [[], [], [0, 1, 2]]
    assert engine.in_flight == 0


def test_a_finished_frame_of_one_session_never_waits_for_another_session(bench: Bench) -> None:
    engine, _ = bench.engine()
    engine.open("ann")
    engine.open("ben")
    engine.submit("ann", 0, picture(), StyleParams(steps=4))
    engine.submit("ben", 5, picture(), StyleParams(steps=1))

    assert [(r.session, r.number) for r in engine.tick()] == [("ben", 5)]


def test_closing_drops_the_frames_in_flight_of_that_session_only(bench: Bench) -> None:
    engine, _ = bench.engine()
    for session in ("ann", "ben"):
        engine.open(session)
        engine.submit(session, 0, picture(), StyleParams(steps=3))
    engine.tick()
    engine.submit("ann", 1, picture(), StyleParams(strength=0.0))

    engine.close("ann")

    assert [result.session for result in drain(engine)] == ["ben"]
    assert not engine.wants("ann", 1)
    engine.close("ann")  # twice is harmless


def test_strength_0_gives_the_frame_back_unchanged_without_a_call(bench: Bench) -> None:
    engine, networks = bench.engine()

    image = alone(engine, picture(), StyleParams(prompt="ink", strength=0.0, steps=4))

    assert np.array_equal(image, picture())
    assert networks.rows == []


def test_the_seed_alone_decides_the_noise(bench: Bench) -> None:
    engine, _ = bench.engine("embedded")
    other, _ = bench.engine("embedded")
    params = StyleParams(prompt="ink", seed=2**32 - 1)

    first = alone(engine, picture(), params, "ann")

    assert np.array_equal(alone(other, picture(), params, "ben"), first)
    assert not np.array_equal(alone(other, picture(), StyleParams(prompt="ink", seed=1)), first)


@pytest.mark.parametrize("family", FAMILIES)
def test_an_empty_prompt_works(bench: Bench, family: str) -> None:
    engine, networks = bench.engine(family)

    alone(engine, picture(), StyleParams(prompt="", negative_prompt=" ", steps=2))

    assert torch.isfinite(networks.latents[-1]).all()


def test_a_prompt_longer_than_the_text_window_works(bench: Bench) -> None:
    for family in ("sd15", "embedded"):
        engine, networks = bench.engine(family)
        alone(engine, picture(), StyleParams(prompt="ink and oil " * 40))
        assert torch.isfinite(networks.latents[-1]).all()


def test_step_major_takes_one_frame_a_session_and_stream_batch_one_a_step(bench: Bench) -> None:
    for schedule, most in (("step-major", 1), ("stream-batch", 3)):
        engine, _ = bench.engine(schedule=schedule)
        engine.open("ann")
        admitted = 0
        while engine.wants("ann", 3):
            engine.submit("ann", admitted, picture(), StyleParams(steps=3))
            admitted += 1
        assert admitted == most


def test_an_unknown_session_is_not_wanted(bench: Bench) -> None:
    engine, _ = bench.engine()

    assert not engine.wants("nobody", 4)


def test_results_carry_times_of_their_stages_and_no_gradient(bench: Bench) -> None:
    for family in FAMILIES:
        engine, networks = bench.engine(family)
        engine.open("ann")
        engine.submit("ann", 3, picture(), StyleParams(prompt="ink", steps=2))
        (result,) = drain(engine)

        assert set(result.stages_ms) == {"encode", "unet", "decode"}
        assert all(spent > 0 for spent in result.stages_ms.values())
        assert result.image.dtype == np.uint8
        assert not networks.latents[-1].requires_grad
        assert networks.latents[-1].grad_fn is None


def test_results_do_not_share_memory_with_later_frames(bench: Bench) -> None:
    engine, _ = bench.engine()
    engine.open("ann")
    engine.submit("ann", 0, picture(), INK)
    (first,) = drain(engine)
    kept = first.image.copy()

    engine.submit("ann", 1, picture(1), INK)
    drain(engine)

    assert np.array_equal(first.image, kept)


def test_warming_up_leaves_nothing_behind_and_measures(bench: Bench) -> None:
    engine, _ = bench.engine("embedded")

    engine.warm_up()

    assert engine.in_flight == 0
    assert engine.info.ms_per_frame > 0
    assert engine.info.prediction_type == "sample"
    assert [preset.name for preset in engine.info.presets] == ["Ink"]
    assert not engine.wants("warm-up", 1)


@pytest.mark.parametrize(("most", "once", "row"), [(1, 0.0, 0.005), (8, 0.004, 0.001)])
def test_a_warm_up_learns_what_a_call_costs_and_what_each_of_its_rows(
    most: int, once: float, row: float
) -> None:
    """Calls of one row are each paid whole."""
    device = Device(Clock(), 0.004, 0.001)
    config = EngineConfig(width=SIDE, height=SIDE, max_rows=most)
    engine = Engine(config, open_folder(EngineConfig()), device, device.clock)

    engine.warm_up()

    assert (engine._cost.once, engine._cost.row) == pytest.approx((once, row))
    assert engine.in_flight == 0


def test_pictures_of_several_sessions_are_filtered_side_by_side_each_ones_in_order(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, _ = bench.engine("sd15", parallel_rows=2)
    both = threading.Barrier(2, timeout=20)
    begun: dict[str, list[int]] = {"ann": [], "ben": []}
    finished = Slot.finished

    def noted(slot: Slot, shown: Image) -> Image:
        begun[slot.session].append(slot.number)
        both.wait()  # would never end one after the other
        return finished(slot, shown)

    monkeypatch.setattr(Slot, "finished", noted)
    for session in begun:
        engine.open(session)
        for number in range(2):
            engine.submit(session, number, picture(number), replace(INK, deflicker=0.6))

    results = engine.tick()

    assert begun == {"ann": [0, 1], "ben": [0, 1]}
    assert [(r.session, r.number) for r in results] == [
        ("ann", 0), ("ben", 0), ("ann", 1), ("ben", 1),
    ]  # fmt: skip


def test_a_warm_up_reaches_a_full_call_and_what_looks_back_unless_it_is_a_cpus(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, networks = bench.engine("sd15")
    moved: list[bool] = []
    finished = Slot.finished

    def noted(slot: Slot, shown: Image) -> Image:
        moved.append(slot.motions is not None and slot.deflicker > 0)
        return finished(slot, shown)

    monkeypatch.setattr(Slot, "finished", noted)

    engine.warm_up()
    assert max(networks.rows) == 2  # its start is not made longer
    assert not any(moved)

    engine.open("warm-up")
    warm_up.run_the_rest(engine)
    assert max(networks.rows) == engine.config.max_rows
    assert any(moved)
    assert engine.in_flight == 0


def test_prepared_prompts_are_not_encoded_again(bench: Bench) -> None:
    engine, _ = bench.engine()
    encoder, texts = engine._prompts._encoder, []
    engine._prompts._encoder = replace(
        encoder, encode=lambda asked: (texts.extend(asked), encoder.encode(asked))[1]
    )
    params = StyleParams(prompt="ink", negative_prompt="oil", guidance_scale=2.0)

    engine.prepare(params)
    engine.open("ann")
    play(engine, [("ann", n, picture(n), params) for n in range(3)])

    assert texts == ["ink", "oil"]


def test_prompts_in_use_are_made_once_however_many_they_are_and_go_with_their_sessions(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A frame never waits for somebody's text because the bound is smaller than what is in use."""
    engine, networks = bench.engine()
    made: list[Tensor] = []
    condition = networks.condition
    monkeypatch.setattr(
        engine._prompts, "_condition", lambda words: (made.append(words), condition(words))[1]
    )
    monkeypatch.setattr(engine._prompts, "_room", 1)  # byte: one prompt stays beside those in use
    styles = {
        name: replace(INK, prompt=name, negative_prompt=f"no {name}", deflicker=0.0)
        for name in ("ann", "ben")
    }
    rounds = [[(name, n, picture(n), params) for name, params in styles.items()] for n in range(4)]
    for name in styles:
        engine.open(name)
    play(engine, rounds[0])
    assert len(made) == 4

    play(engine, [frame for frames in rounds[1:] for frame in frames])
    assert len(made) == 4

    for name in styles:
        engine.close(name)
    assert len(engine._prompts._alive) == 1


def test_a_frame_of_the_wrong_size_is_refused_and_harms_nobody(bench: Bench) -> None:
    engine, _ = bench.engine()
    engine.open("ann")
    with pytest.raises(ConfigError, match="prepare this size"):
        engine.submit("ann", 0, picture(side=128), INK)

    engine.submit("ann", 1, picture(), INK)

    assert [result.number for result in drain(engine)] == [1]


def test_a_still_picture_is_skipped_until_something_changes(bench: Bench) -> None:
    engine, networks = bench.engine()
    engine.open("ann")
    still = StyleParams(prompt="ink", similarity_filter=0.9)
    frames = [("ann", n, picture(), still) for n in range(6)]

    results = play(engine, frames)

    assert [result.number for result in results] == list(range(6))
    assert [result.skipped for result in results] == [False] + [True] * 5
    assert all(np.array_equal(result.image, results[0].image) for result in results)
    assert len(networks.rows) == 1

    changed = replace(still, prompt="oil")
    (first, second) = play(engine, [("ann", n, picture(), changed) for n in (6, 7)])
    assert not first.skipped  # a new prompt is seen on a still picture, too
    assert not np.array_equal(first.image, results[0].image)
    assert second.skipped
    (moved,) = play(engine, [("ann", 8, picture(5), changed)])
    assert not moved.skipped


def test_a_prompt_that_travels_passes_through_what_lies_between(bench: Bench) -> None:
    engine, networks = bench.engine()
    engine.open("ann")
    ink = StyleParams(prompt="ink", guidance_scale=1.0, deflicker=0.0)
    oil = replace(ink, prompt="oil", travel=1.0)
    latents = {}
    for number, (params, at) in enumerate([(ink, 0.0), (oil, 1.0), (oil, 1.5), (oil, 2.0)]):
        engine.submit("ann", number, picture(), params, at)
        drain(engine)
        latents[number] = networks.latents[-1]

    assert torch.equal(latents[0], latents[1])  # it sets out from where it was
    assert torch.equal(latents[3], alone_latent(engine, networks, replace(oil, travel=0.0)))
    assert not torch.equal(latents[2], latents[1])
    assert not torch.equal(latents[2], latents[3])


def alone_latent(engine: Engine, networks: Recording, params: StyleParams) -> Tensor:
    alone(engine, picture(), params, "other")
    return networks.latents[-1]


def test_carried_noise_keeps_a_still_picture_still_and_fresh_noise_does_not(bench: Bench) -> None:
    engine, networks = bench.engine()
    for kind, stays in (("warped", True), ("fixed", True), ("fresh", False)):
        engine.open(kind)
        params = StyleParams(prompt="ink", noise=kind, steps=2)
        play(engine, [(kind, n, picture(), params) for n in range(3)])
        first, *_, last = networks.latents[-3:]
        assert torch.equal(first, last) == stays, kind


def test_a_mistake_in_the_flow_costs_a_frame_the_noise_it_carries_and_nothing_else(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    engine, networks = bench.engine()
    engine.open("ann")
    play(engine, [("ann", 0, picture(), StyleParams())])
    fixed = networks.latents[-1]
    monkeypatch.setattr("pipeline.flow.reduce", lambda image, side: 1 / 0)
    engine.submit("ann", 1, picture(), StyleParams(noise="warped"))
    (result,) = drain(engine)

    assert result.number == 1
    assert "session ann: frame 1 stays unmoved" in caplog.text
    assert torch.equal(networks.latents[-1], fixed)


def test_noise_that_a_picture_carries_keeps_nobody_else_waiting(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, networks = bench.engine()
    for session in ("ann", "ben"):
        engine.open(session)
    found, follow = threading.Event(), SessionState.follow

    def late(state: SessionState, params: StyleParams, image: Image) -> Followed:
        assert found.wait(10)
        return follow(state, params, image)

    monkeypatch.setattr(SessionState, "follow", late)
    engine.submit("ann", 0, picture(), StyleParams(noise="warped"), 0.0)  # due first
    engine.submit("ben", 0, picture(1), StyleParams(deflicker=0.0), 1.0)
    (result,) = engine.tick()
    assert (result.session, networks.rows) == ("ben", [1])

    timer = threading.Timer(0.1, found.set)  # alone, it is waited for
    timer.start()
    (result,) = engine.tick()
    timer.join()
    assert (result.session, networks.rows) == ("ann", [1, 1])


def test_fixed_noise_beside_carried_noise_of_the_same_session_is_the_fixed_noise(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Frames of both are in flight at once, right after a change."""
    latents, fixed = noting_latents(monkeypatch), StyleParams(steps=2, deflicker=0.0)
    engine, _ = bench.engine(schedule="stream-batch")
    engine.open("ann")
    play(engine, [("ann", 0, picture(), fixed)])
    follow = SessionState.follow

    def late(state: SessionState, params: StyleParams, image: Image) -> Followed:
        time.sleep(0.05)
        return follow(state, params, image)

    monkeypatch.setattr(SessionState, "follow", late)
    engine.submit("ann", 1, picture(), replace(fixed, noise="warped"))
    engine.submit("ann", 2, picture(), fixed)
    assert [result.number for result in drain(engine)] == [1, 2]
    assert apart(latents["ann", 2], latents["ann", 0]) < 1e-4
    assert apart(latents["ann", 1], latents["ann", 0]) > 1e-2


def test_a_mistake_in_the_flow_costs_a_frame_its_steadiness_and_nothing_else(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    engine, _ = bench.engine()
    engine.open("ann")
    monkeypatch.setattr("pipeline.flow.reduce", lambda image, side: 1 / 0)
    engine.submit("ann", 0, picture(), StyleParams(deflicker=1.0))
    (result,) = drain(engine)

    assert result.number == 0
    assert "session ann: frame 0 stays unsteadied" in caplog.text


def test_the_inputs_motion_is_waited_for_after_the_last_call_and_not_before(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, networks = bench.engine()
    engine.open("ann")
    found, follow = threading.Event(), SessionState.follow

    def late(state: SessionState, params: StyleParams, image: Image) -> Followed:
        assert found.wait(10)
        return follow(state, params, image)

    monkeypatch.setattr(SessionState, "follow", late)
    params = StyleParams(steps=2, deflicker=1.0)
    engine.submit("ann", 0, picture(), params)
    assert engine.tick() == []
    assert networks.rows == [1]
    timer = threading.Timer(0.1, found.set)  # the last call waits
    timer.start()
    (result,) = engine.tick()
    timer.join()

    assert found.is_set()
    assert result.number == 0
