"""A restyled person over the untouched camera: of the same moment, with an edge that is steady."""

import threading
from collections.abc import Iterator
from fractions import Fraction

import av
import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.params import StyleParams
from pipeline.results import EngineResult
from streams.convert import Image, i420, to_rgb
from streams.frame import Restyled
from streams.matte import join, over, split
from streams.output import Backdrop, Output
from tests.streams.fakes import FakeEngine
from tests.streams.pictures import ANN
from tests.streams.test_matte import numbered, pair
from tests.streams.test_output import Memory
from tests.streams.test_worker import working
from tests.streams.waiting import PATIENCE, until

_SIDE = 64
_INSIDE, _OUTSIDE = (slice(8, -8), slice(4, 24)), (slice(8, -8), slice(40, -8))


def person(shift: int = 0, side: int = _SIDE) -> NDArray[np.uint8]:
    """Draw head and shoulders with a soft edge, as a segmenter gives them: 16 nothing, 235 all."""
    mask = np.full((side, side), 16, np.uint8)
    cv2.circle(mask, (side // 2 + shift, side * 3 // 8), side // 6, 235, -1)
    cv2.ellipse(mask, (side // 2 + shift, side), (side // 3, side // 2), 0, 180, 360, 235, -1)
    return cv2.GaussianBlur(mask, (0, 0), side / 64)


def grey_pair(level: int, matte: NDArray[np.uint8]) -> av.VideoFrame:
    return join(np.full((*matte.shape, 3), level, np.uint8), matte)


def restyled_over(
    frames: list[av.VideoFrame], backdrop: Backdrop, engine: FakeEngine | None = None
) -> list[Image]:
    """Send pairs one by one through a worker and an output; give what the output wrote."""
    sink = Memory()
    output = Output("one", lambda: sink, _SIDE, _SIDE, room=len(frames), backdrop=backdrop)
    done = threading.Semaphore(0)

    def deliver(shown: Restyled) -> None:
        output.put(shown)
        done.release()

    with working(engine or FakeEngine()) as worker:
        worker.open(ANN, StyleParams(), deliver)
        worker.pair(ANN, True)
        for number, picture in enumerate(frames):
            worker.put(ANN, numbered(number, picture))
            assert done.acquire(timeout=PATIENCE)
    output.close()
    return [to_rgb(picture, _SIDE, _SIDE) for picture in sink.pictures]


def test_the_person_is_restyled_and_the_room_is_the_camera_of_the_same_frame() -> None:
    levels = [60, 75, 90, 105, 120]
    matte = np.full((_SIDE, _SIDE), 16, np.uint8)
    matte[:, : _SIDE // 2] = 235
    written = restyled_over([grey_pair(level, matte) for level in levels], "camera")
    assert len(written) == len(levels)
    for level, image in zip(levels, written, strict=True):
        assert np.abs(image[_INSIDE].mean((0, 1)) - (255 - level)).max() < 3
        assert np.abs(image[_OUTSIDE].mean((0, 1)) - level).max() < 3


def test_a_newer_frame_that_came_meanwhile_is_not_the_backdrop() -> None:
    class Held(FakeEngine):
        going = threading.Event()

        def tick(self) -> list[EngineResult]:
            self.going.wait(PATIENCE)
            return super().tick()

    sink = Memory()
    output = Output("one", lambda: sink, _SIDE, _SIDE, room=8, backdrop="camera")
    matte = np.full((_SIDE, _SIDE), 16, np.uint8)
    with working(Held()) as worker:
        worker._patience.allow(PATIENCE)  # it is held, not stuck
        worker.open(ANN, StyleParams(), output.put)
        worker.pair(ANN, True)
        worker.put(ANN, numbered(0, grey_pair(60, matte)))
        until(lambda: bool(worker._admitted))
        for number in range(1, 4):
            worker.put(ANN, numbered(number, grey_pair(60 + 40 * number, matte)))
        Held.going.set()
        until(lambda: len(sink.pictures) == 2)  # the first, and the newest of the others
    output.close()
    assert [round(to_rgb(each, 64, 64).mean()) for each in sink.pictures] == pytest.approx(
        [60, 180], abs=3
    )


def test_under_bypass_it_is_the_camera_alone() -> None:
    sink = Memory()
    output = Output("one", lambda: sink, 128, 128, room=8, backdrop="camera")
    source = numbered(0, pair())
    output.put(Restyled(source, source.picture, {}, paired=True))
    output.close()
    image, _ = split(source.picture, 128, 128)
    assert np.abs(to_rgb(sink.pictures[0], 128, 128).astype(int) - image).max() <= 2


def test_a_session_without_a_matte_is_restyled_whole() -> None:
    sink = Memory()
    output = Output("one", lambda: sink, _SIDE, _SIDE, room=8, backdrop="camera")
    source, picture = numbered(0, pair()), grey_pair(200, person()).reformat(width=64)
    output.put(Restyled(source, picture, {}))
    output.close()
    assert bytes(sink.pictures[0].planes[0]) == bytes(picture.planes[0])


@pytest.mark.parametrize("high", [64, 62])
def test_where_nothing_is_the_cameras_pixels_are_untouched(high: int) -> None:
    random = np.random.default_rng(1)
    room = random.integers(0, 256, (high, 64, 3), np.uint8)
    matte = np.full((high, 64), 16, np.uint8)
    matte[:, :32] = 235
    camera, shown = join(room, matte), join(255 - room, matte)
    laid = i420(over(shown, camera))
    for of, columns in ((camera, slice(34, 60)), (shown, slice(0, 30))):
        planes = i420(of)[:, :64]
        assert np.array_equal(laid[:high, columns], planes[:high, columns])
    chroma = [i420(each)[high:].reshape(2, high // 2, -1) for each in (over(shown, camera), camera)]
    assert np.array_equal(chroma[0][:, :, 17:30], chroma[1][:, :, 17:30])


@pytest.mark.parametrize("size", [(128, 128), (128, 96), (48, 32)])
def test_a_camera_of_another_size_is_cut_and_scaled_as_the_model_saw_it(
    size: tuple[int, int],
) -> None:
    wide, high = size
    across = np.tile(np.linspace(20, 230, wide).astype(np.uint8)[:, None], (high, 1, 3))
    camera = join(across, np.full((high, wide), 16, np.uint8))
    shown = grey_pair(255, np.full((_SIDE, _SIDE), 16, np.uint8))
    image, _ = split(camera, _SIDE, _SIDE)
    laid = to_rgb(over(shown, camera), _SIDE, _SIDE)
    assert np.abs(laid[:, :56].astype(int) - image[:, :56]).max() <= 3


def filmed(mattes: list[NDArray[np.uint8]], level: int = 70) -> Iterator[av.VideoFrame]:
    """Film a grey room with the noise of a camera, and send it by VP8 at a low rate."""
    random = np.random.default_rng(7)
    encoder = av.CodecContext.create("libvpx", "w")
    high, wide = mattes[0].shape
    encoder.width, encoder.height, encoder.pix_fmt = 2 * wide, high, "yuv420p"
    encoder.bit_rate, encoder.time_base = 400_000, Fraction(1, 30)
    encoder.options = {"deadline": "realtime", "lag-in-frames": "0", "cpu-used": "8"}
    decoder = av.CodecContext.create("vp8", "r")
    for number, matte in enumerate(mattes):
        noise = random.normal(0, 3, (*matte.shape, 1))
        image = np.clip(level + np.repeat(noise, 3, 2), 0, 255).astype(np.uint8)
        picture = join(image, matte)
        picture.pts, picture.time_base = number, Fraction(1, 30)
        for packet in encoder.encode(picture):
            yield from decoder.decode(packet)


def widths(images: list[Image], level: int = 70) -> NDArray[np.float64]:
    """Give the person's width in each row of each picture, to a fraction of a pixel [n, h]."""
    shares = (np.stack(images).mean(-1) - level) / (255 - 2 * level)
    return np.clip(shares, 0, 1).sum(-1)


def test_the_edge_of_a_person_who_stands_still_is_steady() -> None:
    still = [person()] * 30
    images = restyled_over(list(filmed(still)), "camera")
    assert len(images) == 30
    rows = widths(images)[:, 16:-4]
    wanted = np.clip((person() - 16.0) / 219, 0, 1).sum(-1)[16:-4]
    assert rows.std(0).max() < 0.5  # pixels, both edges of a row together
    assert np.abs(rows.mean(0) - wanted).max() < 2


def test_the_edge_of_a_person_who_moves_does_not_trail() -> None:
    shifts = [round(12 * np.sin(number / 4)) for number in range(30)]
    images = restyled_over(list(filmed([person(shift) for shift in shifts])), "camera")
    columns = np.arange(_SIDE)
    for shift, image in zip(shifts, images, strict=True):
        inside = np.clip((image[16:30].mean(-1) - 70) / 115, 0, 1).sum(0)  # of the head
        middle = float((inside * columns).sum() / inside.sum())
        assert middle == pytest.approx(_SIDE / 2 + shift, abs=1)
