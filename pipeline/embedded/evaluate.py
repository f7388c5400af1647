"""Measure the shipped model on people and rooms that training never saw.

    python -m pipeline.embedded.evaluate [--json] [--sheet styles.png] [--quick] [--smoke]

psnr_…          what the autoencoder keeps of photos, of styled pictures and of frames of the clips
                below, in dB
identity_psnr   how near an empty prompt comes to the picture itself
agreement_psnr  how near a result comes to its teacher's
separability    share of results whose nearest teacher, by VGG Gram matrices, is their own, of all
                and of the twelve styles that the design names; `_cosine` compares directions
                alone, so that a weaker texture of the same kind counts as the same
wordings        the same for 200 prompts kept from training (tests/fixtures/wordings.json)
reference       share of results whose style is read right from them as reference pictures;
                `_photos` the same of pictures without a style
edges           agreement of the result's edges with the camera's at strength .5 (F1, 2 pixels)
warp_error      E_warp over still-camera clips in grey levels: of input, teachers, model, and the
                model with other noise in every frame, and with the deflicker as it is by default;
                and the ratios that matter (`_by_style` and that of the deflicker: mean of all
                styles, since dots and hatching that stand on the screen drown the others)
style_kept      distance from the teachers' textures with the deflicker over that without it
flicker         what a frame shows and neither neighbour does, in relation to the input's
fps             frames a second by size and threads, model alone
"""

import argparse
import json
import time
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional
from tqdm import tqdm

from pipeline import metrics
from pipeline.config import EngineConfig
from pipeline.embedded import WEIGHTS, heldout
from pipeline.embedded.data import synthetic
from pipeline.embedded.perceptual import Perceptual, distances, gram
from pipeline.embedded.shading import Image
from pipeline.embedded.styles import STYLES
from pipeline.embedded.teachers import LARGE, halved, render
from pipeline.engine import Engine, build_engine
from pipeline.models.folder import open_folder, thumbnail_name
from pipeline.params import StyleParams
from pipeline.reference import Reference

_CLIP_FRAMES = 12
Errors = NDArray[np.float64]  # [pairs of frames]: of one style's video
_TWELVE = (
    "Oil painting", "Ink wash", "Pencil", "Watercolour", "Comic", "Neon", "Pixel art", "Duotone",
    "Clay", "Stained glass", "Moonlight", "Frost",
)  # fmt: skip


class Restyler:
    """The engine, one picture at a time."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._number = 0
        engine.open("evaluate")

    def __call__(self, image: Image, prompt: str, **values: Any) -> Image:
        """Restyle one picture of the model's size, as if there had been none before."""
        return self._restyled(image, StyleParams(prompt=prompt, deflicker=0.0, **values))

    def film(self, images: Iterable[Image], prompt: str) -> list[Image]:
        """Restyle frames of one clip with the values that people start with."""
        self._engine.close("evaluate")
        self._engine.open("evaluate")
        return [self._restyled(image, StyleParams(prompt=prompt)) for image in images]

    def _restyled(self, image: Image, params: StyleParams) -> Image:
        self._engine.submit("evaluate", self._number, image, params)
        self._number += 1
        while True:
            for result in self._engine.tick():
                return result.image

    def there_and_back(self, image: Image) -> Image:
        """Encode and decode."""
        networks = self._engine.networks
        return networks.decode(networks.encode(torch.from_numpy(image)[None]))[0].numpy()


class Judge:
    """Says which teacher's picture another one looks like."""

    def __init__(self, perceptual: Perceptual) -> None:
        self._perceptual = perceptual

    @torch.inference_mode()
    def textures(self, images: Iterable[Image]) -> list[torch.Tensor]:
        """Give Gram matrices at three scales, of all pictures."""
        batch = torch.from_numpy(np.stack(list(images))).permute(0, 3, 1, 2).float() / 127.5 - 1
        return [gram(features) for features in self._perceptual(batch)]

    def apart(self, images: Iterable[Image], others: Iterable[Image]) -> float:
        """Give how far the textures of pictures are from those of others, pair by pair."""
        return sum(  # all at once take gigabytes
            float(distances(self.textures([image]), self.textures([other])))
            for image, other in zip(images, others, strict=True)
        )


def angles(textures: list[torch.Tensor], teachers: list[torch.Tensor]) -> torch.Tensor:
    """Give the same by directions alone, one less the cosine: [pictures, teachers]."""
    scales = [
        1 - functional.cosine_similarity(own.flatten(1)[:, None], taught.flatten(1)[None], dim=-1)
        for own, taught in zip(textures, teachers, strict=True)
    ]
    return torch.stack(scales).sum(0)


def separability(apart: list[torch.Tensor], among: list[int]) -> float:
    """Give the share of styles, of those among which one has to be found, that are their own."""
    found = [rows[among][:, among].argmin(1) == torch.arange(len(among)) for rows in apart]
    return _mean(torch.cat(found).double().tolist())


def contact_sheet(rows: list[list[Image]], columns: int = 4, side: int = 160) -> Image:
    """Lay out all people in every style, each style with its name below."""
    blocks = []
    for spec, row in zip(STYLES, rows, strict=True):
        tiles = [cv2.resize(x, (side, side), interpolation=cv2.INTER_AREA) for x in row]
        label = np.full((28, side * len(row), 3), 18, np.uint8)
        cv2.putText(label, spec.name, (6, 20), 0, 0.6, (235, 235, 235), 1, cv2.LINE_AA)
        blocks.append(np.vstack([np.hstack(tiles), label]))
    blocks += [np.zeros_like(blocks[0])] * (-len(blocks) % columns)
    lines = [np.hstack(blocks[i : i + columns]) for i in range(0, len(blocks), columns)]
    return np.vstack(lines)


def made_up(cache: Path) -> list[Image]:
    """Give a made-up picture, where nothing can be fetched."""
    cache.mkdir(parents=True, exist_ok=True)
    synthetic(cache, 1)
    image = cv2.cvtColor(cv2.imread(str(cache / "synthetic-0000.png")), cv2.COLOR_BGR2RGB)
    return [cv2.resize(image, (LARGE, LARGE), interpolation=cv2.INTER_CUBIC)]


_OFFICER = 2  # of heldout.people; in the public domain, so her picture may ship


def write_thumbnails(to: Path, rows: list[list[Image]], side: int = 96) -> None:
    """Write the officer in every style, for the buttons of the page."""
    to.mkdir(exist_ok=True)
    for spec, row in zip(STYLES, rows, strict=True):
        small = cv2.resize(
            row[_OFFICER][32:-32, 32:-32], (side, side), interpolation=cv2.INTER_AREA
        )
        cv2.imwrite(
            str(to / thumbnail_name(spec.name)), cv2.cvtColor(small, cv2.COLOR_RGB2BGR),
            [cv2.IMWRITE_WEBP_QUALITY, 75],
        )  # fmt: skip


def psnr(one: Image, other: Image) -> float:
    """Peak signal-to-noise ratio in dB."""
    error = np.square(one.astype(np.float32) - other.astype(np.float32)).mean()
    return float(10 * np.log10(255**2 / max(float(error), 1e-9)))


def edge_f1(one: Image, other: Image) -> float:
    """Compare Canny edges; one within two pixels counts as met."""
    maps = [cv2.Canny(cv2.GaussianBlur(x, (3, 3), 0), 60, 140) > 0 for x in (one, other)]
    wide = [cv2.dilate(m.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0 for m in maps]
    precision = float((maps[1] & wide[0]).sum() / max(maps[1].sum(), 1))
    recall = float((maps[0] & wide[1]).sum() / max(maps[0].sum(), 1))
    return 2 * precision * recall / max(precision + recall, 1e-9)


def still_figures(
    restyle: Restyler, judge: Judge, large: list[Image], most_wordings: int | None = None
) -> tuple[dict[str, Any], list[list[Image]]]:
    """Give the figures of single pictures, and all results, style by style."""
    small = [halved(x) for x in large]
    taught = [render(x) for x in tqdm(large, desc="teachers", disable=None)]
    results = [[restyle(x, spec.prompt) for spec in STYLES] for x in small]
    textures = [judge.textures(teachers) for teachers in taught]
    shown = [judge.textures(row) for row in results]
    apart, askew = (
        [how(*pair) for pair in zip(shown, textures, strict=True)] for how in (distances, angles)
    )
    every = list(range(len(STYLES)))
    twelve = [i for i in every if STYLES[i].name in _TWELVE]
    found = [rows.argmin(1).tolist() for rows in apart]
    confused = {
        STYLES[i].name: [STYLES[row[i]].name for row in found if row[i] != i] for i in every
    }
    figures = {
        "psnr_photos": _mean(psnr(restyle.there_and_back(x), x) for x in small),
        "psnr_styles": _mean(psnr(restyle.there_and_back(t), t) for ts in taught for t in ts),
        "identity_psnr": _mean(psnr(restyle(x, ""), x) for x in small),
        "agreement_psnr": _mean(
            psnr(y, t) for ys, ts in zip(results, taught, strict=True)
            for y, t in zip(ys, ts, strict=True)
        ),
        "separability": separability(apart, every),
        "separability_of_twelve": separability(apart, twelve),
        "separability_cosine": separability(askew, every),
        "separability_of_twelve_cosine": separability(askew, twelve),
        "taken_for": {name: others for name, others in confused.items() if others},
        "edges": _mean(
            edge_f1(x, restyle(x, s.prompt, strength=0.5)) for x in small for s in STYLES
        ),
    }  # fmt: skip
    figures |= reference_figures(results, small)
    figures |= wording_figures(restyle, judge, small[0], textures[0], most_wordings)
    return figures, [list(row) for row in zip(*results, strict=True)]


def reference_figures(results: list[list[Image]], photos: list[Image]) -> dict[str, Any]:
    """Say how often the style of a result, as a reference picture, is read right; and of photos."""
    reference = Reference(WEIGHTS, open_folder(EngineConfig()).presets)
    found = [[int(reference.shares(x).argmax()) for x in row] for row in results]
    names = [*(spec.name for spec in STYLES), "no style"]
    read_as = {
        spec.name: [names[row[i]] for row in found if row[i] != i] for i, spec in enumerate(STYLES)
    }
    return {
        "reference": _mean(float(row[i] == i) for row in found for i in range(len(STYLES))),
        "reference_photos": _mean(float(reference.prompt(x) == "") for x in photos),
        "reference_read_as": {name: others for name, others in read_as.items() if others},
    }


def wording_figures(
    restyle: Restyler,
    judge: Judge,
    image: Image,
    teachers: list[torch.Tensor],
    most: int | None = None,
) -> dict[str, Any]:
    """Say how many of the wordings kept apart land on their style, and which do not.

    Of each style at most `most` are asked.
    """
    wordings: dict[str, list[str]] = json.loads(heldout.WORDINGS.read_text())
    asked = [(i, words) for i, spec in enumerate(STYLES) for words in wordings[spec.name][:most]]
    found = [
        int(distances(judge.textures([restyle(image, words)]), teachers).argmin())
        for _, words in tqdm(asked, desc="wordings", disable=None)
    ]
    missed = {
        words: STYLES[at].name for (i, words), at in zip(asked, found, strict=True) if at != i
    }
    return {"wordings": round(1 - len(missed) / len(asked), 3), "wordings_missed": missed}


def temporal_figures(restyle: Restyler, judge: Judge, clips: list[list[Image]]) -> dict[str, Any]:
    """Compare warping error and flicker of input, teachers and model on still-camera clips."""
    errors: dict[str, list[float]] = {}
    styled: dict[str, list[Image]] = {}  # the last pictures of clips, all styles
    steadied: list[float] = []  # by style and clip, with the deflicker over without it
    carried: list[float] = []  # by style and clip, with the same noise over with other noise
    flickers: dict[str, list[float]] = {}
    kept: list[float] = []  # of frames, by the autoencoder alone, in dB
    for large in tqdm(clips, desc="clips", disable=None):
        small = [halved(x) for x in large]
        kept += [psnr(restyle.there_and_back(x), x) for x in small]
        back = [metrics.motion_between(b, a) for a, b in pairwise(small)]
        ahead = [metrics.motion_between(a, b) for a, b in pairwise(small)]
        taught = [render(x) for x in large]
        runs = {"input": [small]}
        runs["teachers"] = [[frame[i] for frame in taught] for i in range(len(STYLES))]
        runs["model"] = [[restyle(x, s.prompt) for x in small] for s in STYLES]
        runs["other_noise"] = [
            [restyle(x, s.prompt, seed=n) for n, x in enumerate(small)] for s in STYLES
        ]
        runs["deflickered"] = [restyle.film(small, s.prompt) for s in STYLES]
        warped = {n: [_warp_errors(frames, back) for frames in v] for n, v in runs.items()}
        steadied += _ratios(warped["deflickered"], warped["model"])
        carried += _ratios(warped["model"], warped["other_noise"])
        for name, videos in runs.items():
            styled.setdefault(name, []).extend(frames[-1] for frames in videos)
            errors.setdefault(name, []).extend(np.concatenate(warped[name]))
            for frames in videos:
                flickers.setdefault(name, []).extend(
                    metrics.flicker(frames[i], frames[i + 1], frames[i + 2], back[i], ahead[i + 1])
                    for i in range(len(frames) - 2)
                )
    levels = {name: round(255 * np.nanmean(e) ** 0.5, 2) for name, e in errors.items()}
    energy = {name: float(np.nanmean(e)) for name, e in flickers.items()}
    squared = {name: float(np.nanmean(e)) for name, e in errors.items()}
    return {
        "psnr_webcam": _mean(kept),
        "warp_error": levels,
        "warp_error_to_teachers": round(squared["model"] / squared["teachers"], 3),
        "warp_error_to_other_noise": round(squared["model"] / squared["other_noise"], 3),
        "warp_error_to_other_noise_by_style": _mean(carried),
        "warp_error_deflickered": _mean(steadied),
        "flicker_to_input": {n: round(e / energy["input"], 2) for n, e in energy.items()},
        "style_kept": round(
            judge.apart(styled["deflickered"], styled["teachers"])
            / judge.apart(styled["model"], styled["teachers"]),
            3,
        ),
    }


def _warp_errors(frames: list[Image], back: list[metrics.Motion]) -> Errors:
    pairs = zip(pairwise(frames), back, strict=True)
    return np.array([metrics.warp_error(b, a, motion) for (a, b), motion in pairs])


def _ratios(errors: list[Errors], others: list[Errors]) -> list[float]:
    return [one.mean() / other.mean() for one, other in zip(errors, others, strict=True)]


def speed_figures(image: Image) -> dict[str, float]:
    """Time one-step restyling by size and threads."""
    speeds = {}
    for size in (256, 384):
        picture = cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA)
        for threads in (1, 2):
            restyle = Restyler(build_engine(EngineConfig(width=size, height=size, threads=threads)))
            for _ in range(5):
                restyle(picture, STYLES[0].prompt)
            began = time.perf_counter()
            for _ in range(40):
                restyle(picture, STYLES[0].prompt)
            speeds[f"{size}px_{threads}t"] = round(40 / (time.perf_counter() - began), 1)
    return speeds


def _mean(values: Iterable[float]) -> float:
    return round(float(np.mean(list(values))), 3)


def main() -> None:
    """Measure, print, write the sheet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cache", type=Path, default=Path(".cache/embedded"))
    parser.add_argument("--model", default="embedded")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--sheet", type=Path)
    parser.add_argument("--thumbnails", action="store_true", help="write them beside the weights")
    parser.add_argument("--quick", action="store_true", help="single pictures only")
    parser.add_argument("--smoke", action="store_true", help="a made-up picture, no network")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    engine = build_engine(EngineConfig(model=arguments.model, threads=arguments.threads))
    restyle = Restyler(engine)
    smoke = arguments.smoke
    people = made_up(arguments.cache / "smoke") if smoke else heldout.people(arguments.cache)
    judge = Judge(Perceptual(None if smoke else arguments.cache))
    figures, rows = still_figures(restyle, judge, people, 1 if smoke else None)
    if arguments.sheet:
        cv2.imwrite(str(arguments.sheet), cv2.cvtColor(contact_sheet(rows), cv2.COLOR_RGB2BGR))
    if arguments.thumbnails and not smoke:
        write_thumbnails(WEIGHTS / "thumbnails", rows)
    if not arguments.quick and not smoke:
        clips = heldout.still_clips(arguments.cache, _CLIP_FRAMES)
        figures |= temporal_figures(restyle, judge, clips)
        figures["fps"] = speed_figures(people[0])
    if arguments.json:
        print(json.dumps(figures, indent=2))
        return
    for name, value in figures.items():
        print(f"{name:<26}{value}")


if __name__ == "__main__":
    main()
