"""The virtual camera, on a device that is only memory."""

import itertools
import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
from numpy.typing import NDArray

from streams.errors import SinkError, SinkLost
from streams.output import Output
from streams.sinks.virtual_camera import VirtualCamera
from tests.streams.test_output import shown
from tests.streams.test_recording import picture
from tests.streams.waiting import until


class MemoryDevice:
    """A backend as pyvirtualcam wants it."""

    shown: list[NDArray[np.uint8]]
    closed = 0
    gone = False  # while it is used
    absent = False  # when it is looked for

    def __init__(self, *, width: int, height: int, fps: float, fourcc: int, device: str) -> None:
        if device == "busy" or self.absent:
            raise RuntimeError("device is busy")
        type(self).shown, type(self).gone = [], False
        self.size = width * height * 3 // 2

    def close(self) -> None:
        type(self).closed += 1

    def send(self, frame: NDArray[np.uint8]) -> None:
        if self.gone:
            raise RuntimeError("no such device")
        assert frame.size == self.size
        self.shown.append(frame.copy())

    def device(self) -> str:
        return "memory"

    def native_fourcc(self) -> None:
        return None


@pytest.fixture(params=["the package", "a stand-in"])
def library(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let pyvirtualcam know that one device, or stand in for it where it is not installed."""
    if request.param == "the package":
        installed = pytest.importorskip("pyvirtualcam")
        monkeypatch.setattr(installed.camera, "BACKENDS", {"memory": MemoryDevice})
        return
    stand_in = ModuleType("pyvirtualcam")
    vars(stand_in).update(
        PixelFormat=SimpleNamespace(I420=0),
        Camera=lambda width, height, fps, fmt, device: MemoryDevice(
            width=width, height=height, fps=fps, fourcc=fmt, device=device
        ),
    )
    monkeypatch.setitem(sys.modules, "pyvirtualcam", stand_in)


@pytest.mark.usefixtures("library")
def test_pictures_arrive_as_they_are() -> None:
    camera, closed = VirtualCamera(64, 64, None), MemoryDevice.closed
    for number in range(3):
        camera.write(picture(number), number / 30)
    camera.close()
    assert len(MemoryDevice.shown) == 3
    assert (MemoryDevice.shown[2].reshape(96, 64) == picture(2).to_ndarray()).all()
    assert MemoryDevice.closed == closed + 1


@pytest.mark.usefixtures("library")
def test_a_device_that_vanishes_may_come_back() -> None:
    camera = VirtualCamera(64, 64, None)
    MemoryDevice.gone = True
    with pytest.raises(SinkLost, match="has gone"):
        camera.write(picture(0), 0)
    camera.close()


@pytest.mark.usefixtures("library")
def test_one_that_vanishes_while_it_is_used_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streams.output.backoff", lambda failures, chance: 0.01)
    monkeypatch.setattr(MemoryDevice, "absent", False)
    output = Output("one", lambda: VirtualCamera(64, 64, None), 64, 64, room=1)
    numbers = itertools.count()

    def shows(losses: int) -> bool:
        output.put(shown(next(numbers)))
        return output.figures().losses >= losses and len(MemoryDevice.shown) > 0

    until(lambda: shows(0))
    MemoryDevice.absent = MemoryDevice.gone = True
    until(lambda: shows(3))  # the first at a picture, the others as it was not there to be opened
    failure = output.figures().failure
    assert output.figures().state == "retrying"
    assert failure is not None
    assert "no virtual camera is there or free" in failure.detail
    MemoryDevice.absent = False
    MemoryDevice.shown = []
    until(lambda: shows(0))
    assert output.figures().state == "live"
    output.close()
    assert output.figures().state == "ended"


@pytest.mark.usefixtures("library")
@pytest.mark.parametrize(
    ("platform", "hint"), [("linux", "modprobe v4l2loopback"), ("darwin", "install OBS")]
)
def test_where_no_device_is_free_it_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, platform: str, hint: str
) -> None:
    monkeypatch.setattr(sys, "platform", platform)
    with pytest.raises(SinkError, match=rf"the virtual camera busy is not there or free: .*{hint}"):
        VirtualCamera(64, 64, "busy")


def test_without_the_package_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyvirtualcam", None)
    with pytest.raises(SinkError, match=r"pip install -e '\.\[virtual-camera\]'"):
        VirtualCamera(64, 64, None)
