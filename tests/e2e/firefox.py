"""A Firefox without a window, driven over its own remote protocol (Marionette): no driver needed.

Playwright drives only a Firefox of its own making. Marionette is what geckodriver speaks to: JSON
over a local socket, each message with its length before it, `[0, number, command, parameters]`
answered by `[1, number, error, result]`.
"""

import base64
import json
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_ELEMENT = "element-6066-11e4-a52e-4f735466cecf"  # WebDriver's key of an element's name
_PREFERENCES: dict[str, bool | int | str] = {
    "marionette.port": 0,  # any; the profile's folder says which
    "media.navigator.streams.fake": True,  # camera: one colour that changes; microphone: a tone
    "media.navigator.permission.disabled": True,
    "media.autoplay.default": 0,
    "browser.shell.checkDefaultBrowser": False,
    "browser.aboutwelcome.enabled": False,
    "datareporting.policy.dataSubmissionEnabled": False,
    "app.update.enabled": False,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "media.gmp-manager.updateEnabled": False,
    "extensions.getAddons.cache.enabled": False,
    "services.settings.server": "data:,",
    "browser.download.folderList": 2,
    "browser.download.alwaysOpenPanel": False,
}


class Failed(Exception):
    """Firefox refused a command; the message says why."""


def find_firefox() -> str | None:
    """Give the path of the first Firefox on the PATH."""
    found = (shutil.which(name) for name in ("firefox", "firefox-esr"))
    return next((path for path in found if path), None)


class Firefox:
    """One browser with a page in it; elements are named by their `data-testid`."""

    def __init__(self, connection: socket.socket) -> None:
        self._stream = connection.makefile("rwb")
        self._read()  # it introduces itself
        self._count = 0
        self.capabilities = self("WebDriver:NewSession", {})["capabilities"]

    def __call__(self, command: str, parameters: Mapping[str, object]) -> Any:
        """Send a command and give its result. Raises Failed."""
        self._count += 1
        message = json.dumps([0, self._count, command, parameters]).encode()
        self._stream.write(b"%d:%s" % (len(message), message))
        self._stream.flush()
        _, _, error, result = self._read()
        if error is not None:
            raise Failed(f"{command}: {error['error']}: {error['message']}")
        return result

    def _read(self) -> Any:
        length = b""
        while (digit := self._stream.read(1)) not in (b":", b""):
            length += digit
        return json.loads(self._stream.read(int(length or 0)) or b"[1, 0, null, null]")

    def go(self, url: str) -> None:
        """Open an address and wait until it is loaded."""
        self("WebDriver:Navigate", {"url": url})

    def reload(self) -> None:
        """Load the page again."""
        self("WebDriver:Refresh", {})

    def ask(self, expression: str, *given: object) -> Any:
        """Evaluate JavaScript in the page, promises too; `given` is its `arguments`."""
        script = f"return ({expression})"
        return self("WebDriver:ExecuteScript", {"script": script, "args": given})["value"]

    def until(self, expression: str, *given: object, seconds: float = 20) -> Any:
        """Wait until an expression is truthy; give its value."""
        end = time.monotonic() + seconds
        while not (value := self.ask(expression, *given)):
            if time.monotonic() > end:
                raise TimeoutError(expression)
            time.sleep(0.1)  # another process: nothing to wait on but its answer
        return value

    def click(self, testid: str) -> None:
        """Click at the middle of an element, as a mouse does: it has to be visible and on top."""
        self("WebDriver:ElementClick", {"id": self._find(testid)})

    def type(self, testid: str, text: str) -> None:
        """Type into an element, after what is there."""
        self("WebDriver:ElementSendKeys", {"id": self._find(testid), "text": text})

    def clear(self, testid: str) -> None:
        """Empty a field."""
        self("WebDriver:ElementClear", {"id": self._find(testid)})

    def screenshot(self) -> bytes:
        """Give the visible part of the page as PNG."""
        shot = self("WebDriver:TakeScreenshot", {"full": False})["value"]
        return base64.b64decode(shot)

    @contextmanager
    def other_tab(self, url: str) -> Iterator[None]:
        """Open an address in another tab, for as long as the block."""
        before = self("WebDriver:GetWindowHandle", {})["value"]
        handle = self("WebDriver:NewWindow", {"type": "tab"})["handle"]
        self("WebDriver:SwitchToWindow", {"handle": handle})
        try:
            self.go(url)
            yield
        finally:
            self("WebDriver:CloseWindow", {})
            self("WebDriver:SwitchToWindow", {"handle": before})

    def _find(self, testid: str) -> str:
        """Wait until an element is there; give its name."""
        named = f"[data-testid='{testid}']"
        self.until("document.querySelector(arguments[0])", named)
        given = {"using": "css selector", "value": named}
        return str(self("WebDriver:FindElement", given)["value"][_ELEMENT])


@contextmanager
def firefox(path: str, profile: Path, downloads: Path) -> Iterator[Firefox]:
    """Run a Firefox with a profile of its own that keeps what it downloads in a folder."""
    wanted = _PREFERENCES | {"browser.download.dir": str(downloads)}
    lines = (f"user_pref({json.dumps(name)}, {json.dumps(to)});\n" for name, to in wanted.items())
    (profile / "user.js").write_text("".join(lines))
    process = subprocess.Popen(
        [path, "--headless", "--marionette", "--no-remote", "--profile", str(profile)],
        env=os.environ | {"HOME": str(profile), "MOZ_DISABLE_CONTENT_SANDBOX": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        with socket.create_connection(("127.0.0.1", _port(profile)), timeout=60) as connection:
            yield Firefox(connection)
    finally:
        os.killpg(process.pid, signal.SIGKILL)  # nothing of its profile is kept
        process.wait()


def _port(profile: Path, seconds: float = 30) -> int:
    """Wait until Firefox listens; give where."""
    end = time.monotonic() + seconds
    at = profile / "MarionetteActivePort"
    while not (at.exists() and at.read_text().strip()):
        if time.monotonic() > end:
            raise TimeoutError("Firefox does not listen")
        time.sleep(0.1)
    return int(at.read_text())
