"""Questions of a command to a running server, over its HTTP API."""

import http.client
import json
import urllib.error
import urllib.request
from typing import Any

from server.settings import Settings, state_folder


class AskingError(Exception):
    """A server that cannot be asked; the message says why and what to do."""


class Asking:
    """A server and the token that opens it."""

    def __init__(self, settings: Settings, url: str | None) -> None:
        """Of `url`, else of the address that the settings give. Raises AskingError."""
        self.url = (url or settings.url).rstrip("/")
        if not self.url.startswith(("http://", "https://")):
            raise AskingError(f"--url {self.url}: an http or https address is needed")
        self.token = settings.token or _kept_token()

    def get(self, path: str) -> Any:
        """Give the answer of GET /api/{path}. Blocks. Raises AskingError."""
        headers = {"Authorization": f"Bearer {self.token}"}
        try:
            request = urllib.request.Request(f"{self.url}/api/{path}", headers=headers)
            with urllib.request.urlopen(request, timeout=5) as answer:  # nosec B310 - http(s)
                return json.loads(answer.read())
        except urllib.error.HTTPError as error:
            with error:
                reason = "the token is not its own" if error.code == 401 else error.reason
            raise AskingError(f"{self.url} answers {error.code}: {reason}") from error
        except (OSError, ValueError, http.client.HTTPException) as error:
            raise AskingError(f"{self.url}: nobody answers as a Restyle server would") from error


def _kept_token() -> str:
    try:
        return (state_folder() / "token").read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        message = "no token: give --token or RESTYLE_TOKEN, as the server has it"
        raise AskingError(message) from error
