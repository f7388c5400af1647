"""Ports for servers that start in a while."""

import contextlib
import itertools
import os
import random
import socket

_WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
_WORKERS = 8
# Below those that the system gives to whoever asks for any, and others for each worker of a run:
# nobody takes one before its server listens.
_NUMBERS = range(20_000 + _WORKER % _WORKERS, 32_000, _WORKERS)
_PORTS = itertools.cycle(random.sample(_NUMBERS, len(_NUMBERS)))


def free_port() -> int:
    """Give a port of this machine that nobody uses, neither TCP nor UDP; another one each time."""
    return next(port for port in _PORTS if _is_free(port))


def listens(port: int) -> bool:
    """Say whether somebody takes TCP connections there."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


def _is_free(port: int) -> bool:
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        with socket.socket(socket.AF_INET, kind) as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                return False
    return True
