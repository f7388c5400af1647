import av
import numpy as np
import pytest
from av.video.reformatter import ColorRange, Colorspace

from streams.convert import plain, to_picture, to_rgb


def gradient(width: int, height: int) -> np.ndarray:
    image = np.zeros((height, width, 3), np.uint8)
    image[..., 0] = np.linspace(20, 230, width, dtype=np.uint8)
    image[..., 1] = np.linspace(230, 20, height, dtype=np.uint8)[:, None]
    image[..., 2] = 128
    return image


def test_colours_come_back_within_a_few_levels() -> None:
    image = gradient(128, 96)
    again = to_rgb(to_picture(image), 128, 96)
    assert np.abs(again.astype(int) - image).max() <= 8
    assert np.abs(again.astype(int) - image).mean() < 2


@pytest.mark.parametrize(("width", "height"), [(640, 480), (480, 640), (257, 129), (64, 64)])
def test_the_centre_is_cut_to_the_wanted_shape(width: int, height: int) -> None:
    image = np.zeros((height, width, 3), np.uint8)
    side = min(width, height)
    top, left = (height - side) // 2, (width - side) // 2
    image[top : top + side, left : left + side] = 200  # what must be seen, and nothing else
    picture = av.VideoFrame.from_ndarray(image, format="rgb24")

    seen = to_rgb(picture, 64, 64)

    assert seen.shape == (64, 64, 3)
    assert seen[4:-4, 4:-4].min() > 185


@pytest.mark.parametrize("kind", ["yuv422p", "nv12", "gray", "yuvj420p"])
def test_other_formats_are_understood(kind: str) -> None:
    image = np.full((64, 64, 3), 120, np.uint8)
    picture = av.VideoFrame.from_ndarray(image, format="rgb24").reformat(format=kind)
    assert abs(float(to_rgb(picture, 64, 64).mean()) - 120) < 14


def test_what_is_shared_is_made_plain_once_and_a_plain_picture_is_not_copied() -> None:
    image = np.full((64, 64, 3), (200, 40, 40), np.uint8)
    rgb = av.VideoFrame.from_ndarray(image, format="rgb24")
    plain_one = rgb.reformat(format="yuv420p")
    assert plain(plain_one) is plain_one
    hd = rgb.reformat(
        format="yuvj420p", dst_colorspace=Colorspace.ITU709, dst_color_range=ColorRange.JPEG
    )
    hd.colorspace = Colorspace.ITU709  # as Chromium's H.264 of a canvas says
    for given in (rgb, hd, rgb.reformat(format="nv12"), rgb.reformat(63, 61, "yuv420p")):
        made = plain(given)
        assert (made.format.name, made.width % 2, made.height % 2) == ("yuv420p", 0, 0)
        assert made.color_range != ColorRange.JPEG
        assert np.abs(to_rgb(made, 64, 64).mean((0, 1)) - (200, 40, 40)).max() < 8


def test_a_picture_of_all_256_levels_keeps_its_levels() -> None:
    full = av.VideoFrame.from_ndarray(np.full((64, 64, 3), 60, np.uint8), format="rgb24")
    full.color_range = ColorRange.JPEG  # as decoders of PNG and JPEG mark it
    assert abs(to_rgb(full, 64, 64).mean() - 60) <= 2
    planes = full.reformat(format="yuvj420p", dst_color_range=ColorRange.JPEG)
    assert abs(to_rgb(planes, 64, 64).mean() - 60) <= 2


def test_a_film_in_hd_colours_keeps_them() -> None:
    image = np.full((64, 64, 3), (200, 40, 40), np.uint8)
    hd = av.VideoFrame.from_ndarray(image, format="rgb24").reformat(
        format="yuv420p", dst_colorspace=Colorspace.ITU709
    )
    hd.colorspace = Colorspace.ITU709  # as a decoder says of most HD video
    assert np.abs(to_rgb(hd, 64, 64).mean((0, 1)) - (200, 40, 40)).max() < 8
