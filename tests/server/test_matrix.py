"""Every route × credential × Origin × Host, as found in the running application.

A new route: add a row to ROUTES: (method, path template), and what each credential gets when
Origin and Host are the server's own. Foreign Hosts get 400 and foreign Origins of writes 403
everywhere; that needs no row. A route that takes a body gets a harmless one in BODIES. Fields of
the template are filled in from `fields`; {id} is a live session.
"""

import asyncio
from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any

import httpx
import pytest

from server.auth import issue
from tests.server.client import Browser
from tests.server.conftest import TOKEN, Serve, Served

CREDENTIALS = (
    "none", "wrong", "expired", "viewer", "other session", "own session", "main",
)  # fmt: skip
OWN, FOREIGN = "127.0.0.1", "evil.example"
ORIGINS = {"own": f"http://{OWN}", "foreign": f"http://{FOREIGN}", "null": "null", "none": None}
HOSTS = {"own": OWN, "foreign": FOREIGN, "split": f"{FOREIGN}/{OWN}?x"}
WRITES = ("POST", "PUT", "PATCH", "DELETE")


Expected = tuple[int, ...]  # in the order of CREDENTIALS


def anybody(status: int) -> Expected:
    return (status,) * 7


def main_only(status: int) -> Expected:
    return (401, 401, 401, 403, 401, 401, status)


def session(status: int) -> Expected:
    return (401, 401, 401, 403, 404, status, status)


def viewer_too(status: int) -> Expected:
    return (401, 401, 401, status, 404, status, status)


OPEN, OWNER, SESSION = anybody(200), main_only(200), session(200)
ROUTES: dict[tuple[str, str], Expected] = {
    ("GET", "/healthz"): OPEN,
    ("GET", "/readyz"): OPEN,
    ("GET", "/metrics"): OWNER,
    ("GET", "/api/info"): OWNER,
    ("POST", "/api/engine/restart"): main_only(204),
    ("POST", "/api/token"): anybody(401),  # the code is wrong, whoever asks
    ("GET", "/api/sessions"): OWNER,
    ("POST", "/api/sessions"): main_only(400),  # the offer is nonsense
    ("GET", "/api/sessions/{id}"): SESSION,
    ("PATCH", "/api/sessions/{id}"): SESSION,
    ("DELETE", "/api/sessions/{id}"): SESSION,
    ("GET", "/api/sessions/{id}/outputs"): SESSION,
    ("POST", "/api/sessions/{id}/outputs"): session(403),  # off until it is set
    ("DELETE", "/api/sessions/{id}/outputs/{output}"): session(404),
    ("GET", "/api/sessions/{id}/snapshot"): SESSION,
    ("POST", "/api/reference"): main_only(409),  # this engine reads none
    ("PUT", "/api/sessions/{id}/name"): OWNER,
    ("PUT", "/api/sessions/{id}/size"): session(422),  # no multiple of the step
    ("PUT", "/api/sessions/{id}/sound"): SESSION,
    ("PUT", "/api/sessions/{id}/matte"): SESSION,
    ("POST", "/api/sources"): main_only(403),  # no setting allows it
    # owner only, and the pictures of this one come from its page
    ("PUT", "/api/sessions/{id}/source"): main_only(409),
    ("PATCH", "/api/sessions/{id}/source"): session(409),
    ("POST", "/whip"): main_only(415),  # no offer
    ("OPTIONS", "/whip"): OPEN,
    ("POST", "/whip/"): main_only(415),
    ("OPTIONS", "/whip/"): OPEN,
    ("GET", "/whip"): anybody(204),
    ("PATCH", "/whip/{id}"): session(415),
    ("DELETE", "/whip/{id}"): SESSION,
    ("OPTIONS", "/whip/{id}"): OPEN,
    ("POST", "/whep/{id}"): viewer_too(415),
    ("OPTIONS", "/whep/{id}"): OPEN,
    ("GET", "/whep/{id}"): anybody(204),
    ("GET", "/whep/{id}/relays"): viewer_too(200),
    ("OPTIONS", "/whep/{id}/relays"): OPEN,
    ("PATCH", "/whep/{id}/{viewer}"): viewer_too(415),
    ("OPTIONS", "/whep/{id}/{viewer}"): OPEN,
    ("DELETE", "/whep/{id}/{viewer}"): viewer_too(404),
    ("GET", "/overlay/{id}"): OPEN,  # its token stands in the fragment
    ("GET", "/overlay.js"): OPEN,
    ("GET", "/overlay/pair.js"): OPEN,
    ("GET", "/overlay.css"): OPEN,
    ("GET", "/"): anybody(503),  # no page is built in these tests
}
BODIES: dict[tuple[str, str], dict[str, object]] = {
    ("POST", "/api/token"): {"code": "wrong"},
    ("POST", "/api/sessions"): {"sdp": "nonsense", "type": "offer"},
    ("PATCH", "/api/sessions/{id}"): {"prompt": "ink"},
    ("POST", "/api/sessions/{id}/outputs"): {"kind": "recording"},
    ("POST", "/api/sources"): {"kind": "url", "at": "http://camera.local/"},
    ("PUT", "/api/sessions/{id}/source"): {"kind": "url", "at": "http://camera.local/"},
    ("PATCH", "/api/sessions/{id}/source"): {"position": 1},
    ("PUT", "/api/sessions/{id}/name"): {"name": "desk"},
    ("PUT", "/api/sessions/{id}/sound"): {"muted": True},
    ("PUT", "/api/sessions/{id}/matte"): {"matte": "none"},
    ("PUT", "/api/sessions/{id}/size"): {"width": 257, "height": 256},
}


def routes_of(routes: Any, before: str = "") -> Iterator[tuple[str, str]]:
    """Walk what the application serves; what it does not know how to walk shows by its type."""
    for route in routes:
        included = getattr(route, "original_router", None)
        if included is not None:
            yield from routes_of(included.routes, before + route.include_context.prefix)
        elif hasattr(route, "methods") and hasattr(route, "path"):
            for method in sorted((route.methods or {"ANY"}) - {"HEAD"}):
                yield method, before + route.path
        else:
            yield type(route).__name__, before + getattr(route, "path", "?")


def test_every_route_has_a_row_and_every_row_a_route(served: Served) -> None:
    assert set(routes_of(served.app.routes)) == set(ROUTES)


def test_a_route_of_any_kind_is_found(served: Served) -> None:
    async def nothing() -> None: ...

    app = served.app
    app.add_api_route("/new", nothing, methods=["PUT"], include_in_schema=False)
    app.add_api_websocket_route("/socket", nothing)
    app.mount("/folder", nothing)
    found = set(routes_of(app.routes)) - set(ROUTES)
    assert found == {("PUT", "/new"), ("APIWebSocketRoute", "/socket"), ("Mount", "/folder")}


@pytest.mark.slow
async def test_each_gets_what_it_may(serve: Serve) -> None:
    async with serve(bad_tokens_per_minute=10_000, sessions=4) as served:
        browsers = [Browser(), Browser()]
        mine, other = [(await b.connect(served.http)).json() for b in browsers]
        await browsers[0].level()  # there is something to take a snapshot of
        fields = {"id": mine["id"], "viewer": "nobody", "output": "none"}
        # under the name that its row gives it again, which would change the viewer token
        named = ("PUT", "/api/sessions/{id}/name")
        answer = await served.http.put(named[1].format(**fields), json=BODIES[named])
        tokens = (
            "", "wrong-wrong-wrong-wrong", issue(TOKEN, -1), answer.json()["viewer_token"],
            other["token"], mine["token"], TOKEN,
        )  # fmt: skip
        del served.http.headers["Authorization"]
        wrong = [fault for r in ROUTES for fault in await faults(served.http, r, fields, tokens)]
        assert served.sessions == 2  # nothing that was refused had an effect
        for browser in browsers:
            await browser.close()
    assert wrong == []


async def faults(
    http: httpx.AsyncClient, route: tuple[str, str], fields: dict[str, str], tokens: Sequence[str]
) -> list[str]:
    """Give what one route answers that it should not, over all combinations."""
    found = []
    method, path = route
    for (index, token), origin, host in product(enumerate(tokens), ORIGINS, HOSTS):
        expected = ROUTES[route][index]
        if method in WRITES and origin in ("foreign", "null"):
            expected = 403
        if host != "own":
            expected = 400
        if method == "DELETE" and expected == 200:
            continue  # would end the session: the next test
        headers = {"Host": HOSTS[host]}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        if sent := ORIGINS[origin]:
            headers["Origin"] = sent
        answer = await http.request(
            method, path.format(**fields), json=BODIES.get(route), headers=headers
        )
        await asyncio.sleep(0)  # a request in memory never lets the loop go on
        right = (
            answer.status_code == expected
            and not any(name.startswith("access-control") for name in answer.headers)
            and "set-cookie" not in answer.headers
            and (answer.status_code != 401 or answer.headers["www-authenticate"] == "Bearer")
            and (
                answer.status_code < 400
                or route == ("GET", "/")
                or answer.json()["request_id"] == answer.headers["x-request-id"]
            )
        )
        if not right:
            told = (CREDENTIALS[index], f"origin {origin}", f"host {host}", f"expected {expected}")
            found.append(f"{route}, {told}: {answer.status_code} {answer.headers} {answer.text}")
    return found


@pytest.mark.parametrize("who", ["own session", "main"])
@pytest.mark.parametrize("origin", ["own", "none"])
async def test_delete_ends_the_session_for_whom_it_may(
    who: str, origin: str, served: Served
) -> None:
    browser = Browser()
    made = (await browser.connect(served.http)).json()
    sent = ORIGINS[origin]
    headers = {"Authorization": f"Bearer {made['token'] if who == 'own session' else TOKEN}"}
    headers |= {"Origin": sent} if sent else {}
    path = f"/api/sessions/{made['id']}"
    assert (await served.http.delete(path, headers=headers)).status_code == 200
    assert served.sessions == 0
    await browser.close()
