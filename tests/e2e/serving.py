"""A real server process on a free port, and small HTTP calls to it."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import psutil

from tests.streams.ports import free_port

ROOT = Path(__file__).parents[2]
LIGHT = "tests.reliability.light_server"  # the module whose engine only inverts
TOKEN = "a-token-for-tests-0123456789abcdef"


@contextmanager
def site(handler: Callable[..., BaseHTTPRequestHandler]) -> Iterator[str]:
    """Serve pages from an origin of their own; give it."""
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as serving_it:
        thread = threading.Thread(target=serving_it.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{serving_it.server_address[1]}"
        serving_it.shutdown()
        thread.join()


class Server:
    """One `restyle serve` process."""

    def __init__(
        self,
        port: int,
        *options: str,
        state: Path,
        within: tuple[str, ...] = (),
        module: str = "server",
    ) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.lines: list[str] = []
        self._given = ""
        self._process = subprocess.Popen(
            [*within, sys.executable, "-m", module, "serve", "--port", str(port), *options],
            cwd=ROOT,
            env=os.environ | {"RESTYLE_TOKEN": TOKEN, "XDG_STATE_HOME": str(state)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._reader = threading.Thread(target=self._read, name="server output", daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        """The process's id."""
        return self._process.pid

    def link(self) -> str:
        """Give a printed link that nobody was given before: each opens one browser."""
        while self._newest_link() == self._given:
            with suppress(urllib.error.HTTPError):  # refused; then another is printed, now and then
                self.api("POST", "/api/token", {"code": "not-a-code"})
            time.sleep(2)
        self._given = self._newest_link()
        return self._given

    def _newest_link(self) -> str:
        found = re.findall(r"http://\S+#code=\S+", "\n".join(self.lines))
        return str(found[-1])

    def wait_ready(self, seconds: float = 90) -> float:
        """Wait until a session can be served; give the seconds it took."""
        started = time.monotonic()
        while time.monotonic() - started < seconds:
            if self._process.poll() is not None:
                raise RuntimeError(f"the server ended: {self.lines}")
            if status(f"{self.url}/readyz") == 200:
                return time.monotonic() - started
            time.sleep(0.1)  # another process: nothing to wait on but its answer
        raise TimeoutError(f"not ready after {seconds} s: {self.lines}")

    def metric(self, name: str, label: str = "") -> float:
        """Give a figure of /metrics; of several labels the sum of those that contain `label`."""
        request = urllib.request.Request(
            f"{self.url}/metrics", headers={"Authorization": f"Bearer {TOKEN}"}
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            lines = answer.read().decode().splitlines()
        return sum(float(x.rsplit(" ", 1)[1]) for x in lines if x.startswith(name) and label in x)

    def api(self, method: str, path: str, body: object = None) -> Any:
        """Call the API with the main token."""
        request = urllib.request.Request(
            f"{self.url}{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.loads(answer.read() or b"null")

    def stop(self, how: int = signal.SIGTERM, seconds: float = 45) -> int:
        """End the process and give its exit status."""
        if self._process.poll() is None:
            self._process.send_signal(how)
        code = self._process.wait(seconds)
        self._reader.join(5)
        return code

    def _read(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout:
            self.lines.extend(line.rstrip() for line in self._process.stdout)


def media_processes(server: Server) -> list[psutil.Process]:
    """Find the media processes that have a session: the children that hold UDP sockets."""
    children = psutil.Process(server.pid).children()
    return [child for child in children if child.net_connections("udp")]


def status(url: str) -> int:
    """Give the status code of a GET, 0 when nobody answers."""
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0


@contextmanager
def serving(
    state: Path, *options: str, port: int | None = None, module: str = "server"
) -> Iterator[Server]:
    """Run a server for as long as the block."""
    server = Server(port or free_port(), *options, state=state, module=module)
    try:
        server.wait_ready()
        yield server
    finally:
        server.stop()
