"""Pixels read back from a video element, and the statistics that tell styles apart."""

import asyncio
import base64
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from playwright.async_api import Page

from tests.streams.waiting import PATIENCE

_READ = """([testid, size]) => {
  const video = document.querySelector(`[data-testid=${testid}]`);
  const side = Math.min(video.videoWidth, video.videoHeight);
  const canvas = document.createElement('canvas');
  canvas.width = canvas.height = size;
  const context = canvas.getContext('2d');
  context.drawImage(video, (video.videoWidth - side) / 2, (video.videoHeight - side) / 2,
    side, side, 0, 0, size, size);
  const data = context.getImageData(0, 0, size, size).data;
  // as text: of numbers Playwright takes half a second of the processor a picture
  return btoa(Array.from(data, (each) => String.fromCharCode(each)).join(''));
}"""


@dataclass(frozen=True)
class Look:
    """Colour and edge statistics of some pictures, grey levels 0 .. 255."""

    colour: NDArray[np.float64]  # [3] mean
    spread: NDArray[np.float64]  # [3] standard deviation
    edges: float  # mean absolute difference of neighbours

    def distance(self, other: "Look") -> float:
        """Add up how far two looks are apart."""
        colour = np.abs(self.colour - other.colour).mean()
        spread = np.abs(self.spread - other.spread).mean()
        return float(colour + spread + abs(self.edges - other.edges))


async def read_picture(
    page: Page, testid: str = "video-out", size: int = 128
) -> NDArray[np.float64]:
    """Read the centre square of what a video shows now, [size, size, 3]."""
    pixels = base64.b64decode(await page.evaluate(_READ, [testid, size]))
    return np.frombuffer(pixels, np.uint8).reshape(size, size, 4)[..., :3].astype(np.float64)


async def read_pictures(
    page: Page, count: int = 5, testid: str = "video-out"
) -> list[NDArray[np.float64]]:
    """Read several pictures a fifth of a second apart."""
    pictures = []
    for _ in range(count):
        pictures.append(await read_picture(page, testid))
        await page.wait_for_timeout(200)
    return pictures


async def until_look(page: Page, wanted: Callable[[Look], bool]) -> Look:
    """Wait until what a page shows has such a look; give it."""
    async with asyncio.timeout(PATIENCE):
        while not wanted(look := look_of(await read_pictures(page, 3))):
            pass
    return look


def look_of(pictures: list[NDArray[np.float64]]) -> Look:
    """Average the statistics over pictures, so that movement weighs little."""
    stack = np.stack(pictures)
    edges = np.abs(np.diff(stack, axis=1)).mean() + np.abs(np.diff(stack, axis=2)).mean()
    return Look(stack.mean((0, 1, 2)), stack.std((1, 2)).mean(0), float(edges))
