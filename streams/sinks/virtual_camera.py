"""A session's picture as a camera that other programs of this machine can choose."""

import contextlib
import importlib
import importlib.util
import sys
from functools import cache
from types import ModuleType

import av

from streams.errors import SinkError, SinkLost
from streams.soundtrack import Heard

_PACKAGE = "pyvirtualcam"  # GPL-2.0: an extra, never a dependency
_INSTALL = "a virtual camera needs pyvirtualcam: `pip install -e '.[virtual-camera]'`"
_LINUX = (
    "`sudo apt install v4l2loopback-dkms`, then `sudo modprobe v4l2loopback exclusive_caps=1 "
    "card_label=Restyle`"
)
_ELSEWHERE = "install OBS and start its virtual camera once"
_FPS = 30  # a hint for the driver; pictures come as they come


@cache
def virtual_camera_missing() -> str | None:
    """Say what to install; None where the package is there. A device is looked for on opening."""
    return None if importlib.util.find_spec(_PACKAGE) else _INSTALL


class VirtualCamera:
    """Shows pictures on a device: v4l2loopback on Linux, OBS's driver on Windows and macOS."""

    def __init__(self, width: int, height: int, device: str | None) -> None:
        """Open the device, None: the first that is free. Raises SinkError that says what to do."""
        library = _library()
        try:
            self._camera = library.Camera(
                width, height, _FPS, fmt=library.PixelFormat.I420, device=device
            )
        except (RuntimeError, ValueError, OSError) as error:
            hint = _LINUX if sys.platform == "linux" else _ELSEWHERE
            which = f"the virtual camera {device} is" if device else "no virtual camera is"
            raise SinkError(f"{which} {'not ' if device else ''}there or free: {hint}") from error

    @property
    def bytes(self) -> int:
        """Nothing is encoded."""
        return 0

    def write(self, picture: av.VideoFrame, seconds: float) -> None:
        """Show a picture. Raises SinkLost when the device has gone."""
        try:
            self._camera.send(picture.to_ndarray().reshape(-1))
        except (RuntimeError, OSError) as error:
            raise SinkLost("the virtual camera has gone") from error

    def hear(self, packet: Heard) -> None:
        """Ignore sound: a camera has none."""

    def close(self) -> None:
        """Give the device back."""
        with contextlib.suppress(RuntimeError, OSError):
            self._camera.close()


def _library() -> ModuleType:
    # by name: most machines lack it, and a plain import would fail the type checker there
    try:
        return importlib.import_module(_PACKAGE)
    except ImportError as error:
        raise SinkError(_INSTALL) from error
