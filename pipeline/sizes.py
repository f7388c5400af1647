"""The picture sizes of a running engine: networks for each that is in use, all of one model.

A session's frames go on at the old size until the new one is warm; making it ready runs in whatever
thread asks, never in the one that drives the engine.
"""

import threading
from dataclasses import replace

import torch

from pipeline.backends.protocol import Banked, Networks, Resizable
from pipeline.config import EngineConfig, Size
from pipeline.errors import ConfigError
from pipeline.models import vram
from pipeline.models.folder import ModelFolder


class Sizes:
    """Networks by picture size. Any thread may `prepare`, the engine's thread does the rest."""

    def __init__(self, folder: ModelFolder, config: EngineConfig, networks: Networks) -> None:
        self._folder, self._config, self._first = folder, config, networks
        self._own: Size = (config.width, config.height)
        self._ready: dict[Size, Networks] = {self._own: networks}  # replaced whole
        self._wanted: dict[str, Size] = {}  # by session: what it changes to
        self._shown: dict[str, Size] = {}  # by session: what its last frame had
        self._one = threading.Lock()  # one at a time: two would take more from the frames

    @property
    def step(self) -> int | None:
        """What sides are multiples of; None where the backend has one size only."""
        return self._folder.size_step if isinstance(self._first, Resizable) else None

    def prepare(self, session: str, size: Size, free: vram.Free = vram.room) -> None:
        """Make a size ready for a session. Takes up to seconds.

        Raises ConfigError for a size that the model or the backend has not, NoRoom for one whose
        memory is not there.
        """
        self._check(size)
        with self._one:
            before = self._wanted.get(session)
            self._wanted[session] = size
            try:
                networks = self._ready.get(size) or self._make(size, free)
            except BaseException:
                self._wanted = self._without(session) | ({session: before} if before else {})
                raise
            used = {self._own, *self._wanted.values(), *self._shown.values()}
            kept = self._ready | {size: networks}
            self._ready = {each: ready for each, ready in kept.items() if each in used}

    def use(self, session: str, size: Size) -> Networks:
        """Give the networks for a session's frame. Raises ConfigError if they are not ready."""
        networks = self._ready.get(size)
        if networks is None:
            raise ConfigError(f"{size[0]}x{size[1]}: prepare this size before its first frame")
        self._shown[session] = size
        return networks

    def forget(self, session: str) -> None:
        """Let go of what only this session needs, when the next size is prepared."""
        self._shown.pop(session, None)
        self._wanted.pop(session, None)

    def _without(self, session: str) -> dict[str, Size]:
        return {each: size for each, size in self._wanted.items() if each != session}

    def _check(self, size: Size) -> None:
        if size == self._own:
            return
        if self.step is None:
            raise ConfigError(
                f"{size[0]}x{size[1]}: backend {self._first.name} was made for "
                f"{self._own[0]}x{self._own[1]}; start it with this size, or with backend eager"
            )
        for name, value in zip(("width", "height"), size, strict=True):
            if value % self.step:
                raise ConfigError(
                    f"{name} {value}: {self._folder.name} needs multiples of {self.step}"
                )

    def _make(self, size: Size, free: vram.Free) -> Networks:
        assert isinstance(self._first, Resizable)
        config = replace(self._config, width=size[0], height=size[1])
        copies = self._first.name == "openvino"  # a program for a size holds the weights, too
        vram.check_room(self._folder, config, self._first.device, copies, free)
        networks = self._first.sized(*size)
        if not (isinstance(networks, Banked) and networks.bank):  # it knows whose rows it sees
            _run_once(networks, self._folder, size)
        return networks


@torch.inference_mode()
def _run_once(networks: Networks, folder: ModelFolder, size: Size) -> None:
    """Let the first call, which allocates and chooses kernels, happen before anybody watches."""
    width, height = size
    source = networks.encode(torch.zeros(1, height, width, 3, dtype=torch.uint8))
    row = torch.cat([source, source], 1) if folder.sees_source else source
    prompt = networks.condition(torch.zeros(1, *folder.words_shape, device=networks.device))
    networks.decode(networks.denoise(row, [0.0], prompt))
