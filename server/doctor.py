"""`restyle doctor`: what is installed, what would be used, what is missing, in plain words."""

import platform
import socket
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version

import av

from pipeline.backends import choose_backend, choose_device, inference_threads
from pipeline.backends.tensorrt import find_library
from pipeline.cores import available_cores
from pipeline.errors import PipelineError
from pipeline.models.folder import open_folder
from server.app import CLIENT
from server.models import memory_sentence
from server.settings import Settings

_PACKAGES = ("torch", "diffusers", "openvino", "aiortc", "av", "fastapi", "opencv-python-headless")


def doctor(settings: Settings) -> int:
    """Print a line for each thing looked at; give 1 when something is missing."""
    healthy = True
    for good, line in _looks(settings):
        print(f"{'ok     ' if good else 'MISSING'}  {line}")
        healthy &= good
    print("Everything is there: `restyle serve`." if healthy else "See the lines marked MISSING.")
    return 0 if healthy else 1


def _looks(settings: Settings) -> Iterator[tuple[bool, str]]:
    yield sys.version_info >= (3, 11), f"Python {platform.python_version()} (3.11 or newer)"
    for package in _PACKAGES:
        try:
            yield True, f"{package} {version(package)}"
        except PackageNotFoundError:
            yield False, f"{package}: run `make setup`"
    yield from _engine(settings)
    for codec in ("libx264", "libvpx"):
        yield codec in av.codecs_available, f"video codec {codec}"
    yield (CLIENT / "index.html").is_file(), "the page is built (`make client`)"
    yield _is_free(settings), f"port {settings.port} on {settings.host} is free"


def _engine(settings: Settings) -> Iterator[tuple[bool, str]]:
    config = settings.engine()
    try:
        device, backend = choose_device(config), choose_backend(config)
        if backend == "tensorrt":
            find_library(device)
        yield True, f"device {device}, engine {backend}, precision {config.precision}"
        yield (
            True,
            f"{inference_threads(config)} of {available_cores()} cores for the model on a CPU",
        )
        folder = open_folder(config)
        yield True, f"model {folder.name} in {folder.path}"
        yield True, f"memory {memory_sentence(folder, config)}"
    except PipelineError as error:
        yield False, str(error)


def _is_free(settings: Settings) -> bool:
    with socket.socket(settings.family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.host, settings.port))
        except OSError:
            return False
    return True
