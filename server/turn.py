"""Relays for browsers that cannot reach the server's UDP ports, each with a password of its own.

What most TURN servers understand as a shared secret (coturn: use-auth-secret): the user name is
the moment until which the password holds, the password its signature
(draft-uberti-behave-turn-rest-00). So nothing that lasts is handed out, and nobody but the two
servers knows the secret.
"""

import base64
import hmac
import secrets
import time
from collections.abc import Callable

from server.schema.sessions import IceServer
from server.settings import Settings


def ice_servers(settings: Settings, clock: Callable[[], float] = time.time) -> list[IceServer]:
    """Give what one connection may use: the servers that are set, TURN until a session ends."""
    if not settings.turn_urls:
        return settings.ice_servers
    assert settings.turn_secret is not None  # settings see to it
    username = f"{int(clock() + settings.session_s)}:{secrets.token_hex(8)}"
    signature = hmac.digest(settings.turn_secret.encode(), username.encode(), "sha1")
    turn = IceServer(
        urls=settings.turn_urls,
        username=username,
        credential=base64.b64encode(signature).decode(),
    )
    return [*settings.ice_servers, turn]
