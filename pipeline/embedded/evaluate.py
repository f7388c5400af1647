"""Measure the shipped model on pictures and people that training never saw.

    python -m pipeline.embedded.evaluate [--json] [--sheet docs/styles.png] [--clip CLIP]

psnr_…              what the autoencoder keeps of webcam frames and of styled pictures, in dB
identity_psnr       how near an empty prompt comes to the picture itself
separability        share of results whose nearest teacher, by colours and edges, is their own
wordings            the same for prompts whose words training did not have, style by style
edges               agreement of the result's edges with the camera's (F1 within 2 pixels)
ms                  of one frame by stage
"""

import argparse
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.config import EngineConfig
from pipeline.embedded.styles import STYLES
from pipeline.embedded.teachers import SIZE, StyleNetwork, render
from pipeline.engine import Engine, build_engine
from pipeline.params import StyleParams

Image = NDArray[np.uint8]
CLIP = Path(__file__).parents[2] / "tests" / "fixtures" / "webcam.mp4"

# none of these stands in styles.py
WORDINGS: dict[str, tuple[str, ...]] = {
    "Pencil": ("sketched by hand with graphite", "a quick pencil portrait of me"),
    "Comic": ("page from a comic", "a cartoon hero with thick ink outlines"),
    "Oil painting": ("oils on a canvas", "portrait painted in oil by a master"),
    "Starry night": ("van gogh's night with stars", "swirling starry sky painting"),
    "Pop art": ("a warhol poster", "popart colours"),
    "Woodblock print": ("wave by hokusai", "print from old japan"),
    "Engraving": ("etched on a copper plate", "antique engraved illustration"),
    "Impressionist": ("painted by monet", "soft impressionism in the morning"),
    "Expressionist": ("kandinsky colours", "bold abstract expressionism"),
    "Inferno": ("standing in flames", "red fire everywhere"),
    "Neon": ("glowing neon tubes", "cyberpunk city glow"),
    "Watercolour": ("watercolor on wet paper", "a pale aquarelle of me"),
    "Duotone": ("two tone poster in purple and orange", "a duotone picture"),
    "Moonlight": ("deep in the night", "lit by the moon only"),
}


def frames(clip: Path, count: int) -> list[Image]:
    """Read evenly spread centre squares of a clip, at twice the model's size."""
    capture = cv2.VideoCapture(str(clip))
    total = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
    pictures = []
    for index in np.linspace(0, total - 2, count).astype(int):
        capture.set(cv2.CAP_PROP_POS_FRAMES, int(index))
        good, image = capture.read()
        if good:
            pictures.append(_square(cv2.cvtColor(image, cv2.COLOR_BGR2RGB)))
    capture.release()
    return pictures


def _square(image: Image) -> Image:
    height, width = image.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    cut = image[top : top + side, left : left + side]
    return cv2.resize(cut, (2 * SIZE, 2 * SIZE), interpolation=cv2.INTER_CUBIC)


class Restyler:
    """The engine, one picture at a time."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._number = 0
        self.stages: list[dict[str, float]] = []
        engine.open("evaluate")

    def __call__(self, image: Image, prompt: str, **values: Any) -> Image:
        """Restyle one picture of the model's size."""
        params = StyleParams(prompt=prompt, **values)
        self._engine.submit("evaluate", self._number, image, params)
        self._number += 1
        while True:
            for result in self._engine.tick():
                self.stages.append(result.stages_ms)
                return result.image


def contact_sheet(source: Image, styled: list[Image], columns: int = 5) -> Image:
    """Lay a picture and its styles out in rows, each with its name."""
    tiles = []
    for name, image in zip(("Camera", *(s.name for s in STYLES)), (source, *styled), strict=True):
        tile = image.copy()
        for at, colour in (((11, SIZE - 11), (0, 0, 0)), ((10, SIZE - 12), (255, 255, 255))):
            cv2.putText(tile, name, at, 0, 0.6, colour, 1, cv2.LINE_AA)
        tiles.append(tile)
    tiles += [np.zeros_like(source)] * (-len(tiles) % columns)
    rows = [np.hstack(tiles[i : i + columns]) for i in range(0, len(tiles), columns)]
    return np.vstack(rows)


def look(image: Image) -> NDArray[np.float64]:
    """Describe colours, contrast and edges at two scales, for telling styles apart."""
    lab = cv2.cvtColor(image, cv2.COLOR_RGB2LAB).astype(np.float32)
    grey = lab[..., 0]
    half = cv2.resize(grey, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    edges = [np.abs(cv2.Laplacian(plane, cv2.CV_32F)).mean() for plane in (grey, half)]
    quantiles = np.quantile(lab.reshape(-1, 3), (0.1, 0.35, 0.65, 0.9), axis=0).ravel()
    return np.concatenate([quantiles, lab.std((0, 1)), 2 * np.array(edges)])


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


def evaluate(engine: Engine, clip: Path, count: int) -> tuple[dict[str, Any], Image]:
    """Give all figures, and a contact sheet of the last picture."""
    restyle, network = Restyler(engine), StyleNetwork()
    large = frames(clip, count)
    small = [cv2.resize(x, (SIZE, SIZE), interpolation=cv2.INTER_AREA) for x in large]
    taught = [render(x, network) for x in large]
    results = [[restyle(x, spec.prompt) for spec in STYLES] for x in small]
    sheet = contact_sheet(small[-1], results[-1])
    right, wording_right, wordings = 0, 0, 0
    by_style: dict[str, float] = {}
    for x, teachers, row in zip(small, taught, results, strict=True):
        looks = np.stack([look(t) for t in teachers])
        own = [int(_nearest(look(y), looks) == i) for i, y in enumerate(row)]
        right += sum(own)
        for i, spec in enumerate(STYLES):
            said = [_nearest(look(restyle(x, w)), looks) == i for w in WORDINGS[spec.name]]
            by_style[spec.name] = by_style.get(spec.name, 0) + sum(said) / len(said) / len(small)
            wording_right += sum(said)
            wordings += len(said)
    decoded = [_there_and_back(engine, x) for x in small]
    decoded_styles = [(t, _there_and_back(engine, t)) for teachers in taught for t in teachers]
    stages = restyle.stages[-50:]
    figures = {
        "psnr_webcam": _mean(map(psnr, decoded, small)),
        "psnr_styles": _mean(psnr(a, b) for a, b in decoded_styles),
        "identity_psnr": _mean(psnr(restyle(x, ""), x) for x in small),
        "agreement_psnr": _mean(
            psnr(y, t) for row, ts in zip(results, taught, strict=True)
            for y, t in zip(row, ts, strict=True)
        ),
        "separability": right / (len(small) * len(STYLES)),
        "wordings": wording_right / wordings,
        "wordings_by_style": {name: round(share, 2) for name, share in by_style.items()},
        "edges": _mean(
            edge_f1(x, restyle(x, s.prompt, strength=0.5)) for x in small for s in STYLES
        ),
        "ms": {k: _mean(s[k] for s in stages) for k in stages[0]},
    }  # fmt: skip
    return figures, sheet


def _there_and_back(engine: Engine, image: Image) -> Image:
    import torch

    networks = engine.networks
    return networks.decode(networks.encode(torch.from_numpy(image)[None]))[0].numpy()


def _nearest(one: NDArray[np.float64], many: NDArray[np.float64]) -> int:
    return int(np.abs(many - one).mean(1).argmin())


def _mean(values: Any) -> float:
    return round(float(np.mean(list(values))), 3)


def main() -> None:
    """Measure, print, write the sheet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clip", type=Path, default=CLIP)
    parser.add_argument("--count", type=int, default=4, help="pictures taken from the clip")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--sheet", type=Path)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    engine = build_engine(EngineConfig(threads=arguments.threads))
    figures, sheet = evaluate(engine, arguments.clip, arguments.count)
    if arguments.sheet:
        cv2.imwrite(str(arguments.sheet), cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR))
    if arguments.json:
        print(json.dumps(figures, indent=2))
        return
    for name, value in figures.items():
        print(f"{name:<18}{value}")


if __name__ == "__main__":
    main()
