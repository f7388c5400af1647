"""Colour and matte side by side: found, taken apart, put together, never mistaken."""

import itertools
import queue
import threading
from fractions import Fraction

import av
import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.params import StyleParams
from pipeline.results import EngineResult
from streams.convert import to_rgb
from streams.frame import Frame, Restyled
from streams.matte import is_marked, join, over, split, to_cut_out
from streams.worker import Worker
from tests.streams.fakes import FakeEngine
from tests.streams.pictures import ANN, frame
from tests.streams.test_worker import working
from tests.streams.waiting import PATIENCE, until

_RED = (200, 40, 40)


def pair(width: int = 128, height: int = 128, edge: float = 0.5) -> av.VideoFrame:
    """Make red beside a matte that is opaque left of the edge."""
    image = np.full((height, width, 3), _RED, np.uint8)
    matte = np.full((height, width), 16, np.uint8)
    matte[:, : int(width * edge)] = 235
    return join(image, matte)


def numbered(number: int, picture: av.VideoFrame) -> Frame:
    picture.pts, picture.time_base = number * 3000, Fraction(1, 90000)
    return Frame(number, number * 3000, Fraction(1, 90000), 0, picture)


def coded(picture: av.VideoFrame, kbps: int) -> av.VideoFrame:
    """Send a picture through VP8, as WebRTC does."""
    encoder = av.CodecContext.create("libvpx", "w")
    encoder.width, encoder.height, encoder.pix_fmt = picture.width, picture.height, "yuv420p"
    encoder.bit_rate, encoder.time_base = kbps * 1000, Fraction(1, 30)
    encoder.options = {"deadline": "realtime", "lag-in-frames": "0", "cpu-used": "8"}
    decoder = av.CodecContext.create("vp8", "r")
    found: list[av.VideoFrame] = []
    for number in range(6):
        again = av.VideoFrame.from_ndarray(picture.to_ndarray(), format="yuv420p")
        again.pts, again.time_base = number, Fraction(1, 30)
        for packet in encoder.encode(again):
            found += decoder.decode(packet)
    return found[-1]


def grey(level: int, matte: NDArray[np.uint8]) -> bool:
    return bool(abs(int(matte.mean()) - level) < 4)


@pytest.mark.parametrize("width", [256, 352, 1024])
def test_a_pair_survives_the_codec_and_a_smaller_size(width: int) -> None:
    whole = coded(pair(width, 256), 400)
    for picture in (whole, whole.reformat(width=width, height=128)):
        assert is_marked(picture)
        image, matte = split(picture, 256, 256)
        assert np.abs(image.mean((0, 1)) - _RED).max() < 10
        assert np.abs(image[:, -1].mean(0) - _RED).max() < 45  # next to the matte
        assert grey(235, matte[:, :120])
        assert grey(16, matte[:, 136:])  # below the mark too


def test_no_other_picture_is_taken_for_one() -> None:
    random = np.random.default_rng(1)
    for kind in range(60):
        image = random.integers(0, 256, (48, 64, 3), np.uint8)
        image = cv2.resize(image[: 2 + kind, : 2 + kind], (512, 256))
        picture = av.VideoFrame.from_ndarray(image, format="rgb24").reformat(format="yuv420p")
        assert not is_marked(picture)
    assert not is_marked(frame(0, width=32, height=32).picture)
    assert not is_marked(pair().reformat(format="rgb24"))  # nothing that WebRTC decodes


def test_only_the_colour_is_restyled_and_the_matte_is_that_of_the_same_frame() -> None:
    with working(FakeEngine()) as worker:
        shown: queue.Queue[Restyled] = queue.Queue()
        worker.open(ANN, StyleParams(), shown.put)
        worker.pair(ANN, True)
        for number, edge in enumerate((0.25, 0.5, 0.75)):
            worker.put(ANN, numbered(number, pair(edge=edge)))
            found = shown.get(timeout=PATIENCE)
            assert (found.picture.width, found.picture.height, found.paired) == (128, 64, True)
            assert is_marked(found.picture)
            image, matte = split(found.picture, 64, 64)
            assert np.abs(image.mean((0, 1)) - [255 - level for level in _RED]).max() < 6
            assert abs((matte > 128).mean() - edge) < 0.03


def test_a_camera_that_sends_no_matte_yet_is_restyled_whole() -> None:
    with working(FakeEngine()) as worker:
        shown: queue.Queue[Restyled] = queue.Queue()
        worker.open(ANN, StyleParams(), shown.put)
        assert worker.pair(ANN, True) == 0
        worker.put(ANN, frame(0, level=60))
        plain = shown.get(timeout=PATIENCE)
        assert (plain.picture.width, plain.paired) == (64, False)
        assert worker.pair(ANN, False) == 1  # exactly from the next frame on
        worker.put(ANN, numbered(1, pair()))
        whole = shown.get(timeout=PATIENCE)
        assert (whole.picture.width, whole.paired) == (64, False)  # nobody asked for a matte


def untouched(worker: Worker, style: StyleParams) -> Restyled:
    shown: queue.Queue[Restyled] = queue.Queue()
    worker.open(ANN, style, shown.put)
    worker.pair(ANN, True)
    numbers = itertools.count()

    def one_more() -> bool:
        worker.put(ANN, numbered(next(numbers), pair()))
        return not shown.empty()

    until(one_more)
    return shown.get()


def test_bypass_and_a_hanging_engine_keep_the_camera_cut_out() -> None:
    let = threading.Event()

    class Hanging(FakeEngine):
        def tick(self) -> list[EngineResult]:
            let.wait(PATIENCE)
            return super().tick()

    for engine, style in ((FakeEngine(), StyleParams(bypass=True)), (Hanging(), StyleParams())):
        let.clear()
        with working(engine) as worker:
            found = untouched(worker, style)
            let.set()
            assert found.paired
            assert found.stages_ms == {}
            image, matte = split(found.picture, 64, 64)
            assert np.abs(image.mean((0, 1)) - _RED).max() < 6
            assert abs((matte > 128).mean() - 0.5) < 0.03


def test_over_a_colour_and_as_an_image_nothing_of_the_room_is_left() -> None:
    laid = to_rgb(over(pair(), (0, 90, 200)), 128, 128)
    assert np.abs(laid[:, :56].mean((0, 1)) - _RED).max() < 6
    assert np.abs(laid[:, 72:].mean((0, 1)) - (0, 90, 200)).max() < 6

    png = cv2.imdecode(np.frombuffer(to_cut_out(pair(), "png"), np.uint8), cv2.IMREAD_UNCHANGED)
    assert png.shape == (128, 128, 4)
    assert png[:, :56, 3].min() > 250
    assert png[:, 72:, 3].max() < 5
    assert np.abs(png[:, :, 2::-1].mean((0, 1)) - _RED).max() < 6
    jpeg = cv2.imdecode(np.frombuffer(to_cut_out(pair(), "jpeg"), np.uint8), cv2.IMREAD_COLOR)
    assert jpeg[:, 72:].max() < 20
