"""Which request passes: every route with every credential, Origin and Host."""

import pytest

from tests.server.client import Browser
from tests.server.conftest import TOKEN, Serve, Served

# route: (status without token, garbage, main token, of a session's own token)
ROUTES: dict[tuple[str, str], tuple[int, int, int, int]] = {
    ("GET", "/healthz"): (200, 200, 200, 200),
    ("GET", "/readyz"): (200, 200, 200, 200),
    ("GET", "/api/info"): (401, 401, 200, 401),
    ("POST", "/api/token"): (401, 401, 401, 401),
    ("GET", "/api/sessions"): (401, 401, 200, 401),
    ("POST", "/api/sessions"): (401, 401, 400, 401),
    ("GET", "/api/sessions/{id}"): (401, 401, 200, 200),
    ("PATCH", "/api/sessions/{id}"): (401, 401, 200, 200),
    ("DELETE", "/api/sessions/{id}"): (401, 401, 200, 200),
    ("POST", "/whip"): (401, 401, 415, 401),
    ("OPTIONS", "/whip"): (200, 200, 200, 200),
    ("GET", "/whip"): (204, 204, 204, 204),
    ("PATCH", "/whip/{id}"): (401, 401, 415, 415),
    ("DELETE", "/whip/{id}"): (401, 401, 200, 200),
    ("POST", "/whep/{id}"): (401, 401, 415, 415),
    ("OPTIONS", "/whep/{id}"): (200, 200, 200, 200),
    ("GET", "/whep/{id}"): (204, 204, 204, 204),
    ("PATCH", "/whep/{id}/{viewer}"): (401, 401, 415, 415),
    ("DELETE", "/whep/{id}/{viewer}"): (401, 401, 404, 404),
    ("GET", "/"): (503, 503, 503, 503),  # no client is built in these tests
}
BODIES: dict[tuple[str, str], object] = {
    ("POST", "/api/token"): {"code": "wrong"},
    ("POST", "/api/sessions"): {"sdp": "nonsense", "type": "offer"},
    ("PATCH", "/api/sessions/{id}"): {"prompt": "ink"},
}


def test_every_route_has_a_row(served: Served) -> None:
    found = {
        (method, path)
        for path, methods in served.app.openapi()["paths"].items()
        for method in (m.upper() for m in methods)
    }
    assert found == {route for route in ROUTES if route[1] != "/"}


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: " ".join(route))
async def test_each_credential_opens_what_it_may(route: tuple[str, str], serve: Serve) -> None:
    async with serve(bad_tokens_per_minute=1000) as served:
        browser = Browser()
        made = (await browser.connect(served.http)).json()
        method, path = route
        credentials = ["", "garbage-garbage-garbage", TOKEN, made["token"]]
        order = (0, 1, 3, 2)  # the main token last: its DELETE ends the session
        for index in order:
            if method == "DELETE" and index == 3:
                continue  # a test of its own
            answer = await served.http.request(
                method,
                path.replace("{id}", made["id"]),
                json=BODIES.get(route),
                headers={"Authorization": f"Bearer {credentials[index]}"},
            )
            assert answer.status_code == ROUTES[route][index], (credentials[index], answer.text)
            if answer.status_code == 401:
                assert answer.headers["www-authenticate"] == "Bearer"
        await browser.close()


async def test_a_session_token_says_nothing_of_other_sessions(served: Served) -> None:
    ann, ben = Browser(), Browser()
    mine, other = [(await b.connect(served.http)).json() for b in (ann, ben)]
    headers = {"Authorization": f"Bearer {mine['token']}"}

    absent = await served.http.get("/api/sessions/none", headers=headers)
    foreign = await served.http.get(f"/api/sessions/{other['id']}", headers=headers)
    assert (absent.status_code, foreign.status_code) == (404, 404)
    assert absent.json()["detail"] == foreign.json()["detail"]

    gone = await served.http.delete(f"/api/sessions/{mine['id']}", headers=headers)
    assert gone.status_code == 200
    await ann.close()
    await ben.close()


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        (None, 400), ("http://127.0.0.1", 400), ("http://friend.example", 400),
        ("http://evil.example", 403), ("null", 403), ("http://127.0.0.1.evil.example", 403),
    ],
)  # fmt: skip
async def test_only_own_and_listed_origins_may_write(
    origin: str | None, status: int, serve: Serve
) -> None:
    async with serve(origins=["http://friend.example"]) as served:
        headers = {} if origin is None else {"Origin": origin}
        body = {"sdp": "nonsense", "type": "offer"}
        answer = await served.http.post("/api/sessions", json=body, headers=headers)
        assert answer.status_code == status
        read = await served.http.get("/api/info", headers=headers)
        assert read.status_code == 200
        assert not any(name.startswith("access-control") for name in read.headers)


@pytest.mark.parametrize(
    ("host", "status"),
    [("127.0.0.1:8000", 200), ("localhost", 200), ("[::1]:8000", 200), ("evil.example", 400),
     ("127.0.0.1.evil.example", 400), ("", 400)],
)  # fmt: skip
async def test_only_known_hosts_are_answered(host: str, status: int, served: Served) -> None:
    answer = await served.http.get("/healthz", headers={"Host": host})
    assert answer.status_code == status


async def test_guessing_is_slowed_down(served: Served) -> None:
    wrong = {"Authorization": "Bearer wrong-wrong-wrong-wrong"}
    codes = [(await served.http.get("/api/info", headers=wrong)).status_code for _ in range(11)]
    assert codes == [401] * 10 + [429]


async def test_a_code_is_good_once_and_a_stale_one_brings_a_new_link(served: Served) -> None:
    served.app.state.print_link()
    code = served.lines[-1].split("#code=")[1]
    first = await served.http.post("/api/token", json={"code": code})
    again = await served.http.post("/api/token", json={"code": code})
    assert first.json() == {"token": TOKEN}
    assert (again.status_code, again.json()["code"]) == (401, "code_used")
    assert len(served.lines) == 1  # one was printed a moment ago: not at every try


async def test_answers_carry_the_headers_that_keep_a_page_safe(served: Served) -> None:
    headers = (await served.http.get("/healthz")).headers
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
