"""Which request passes, beyond the matrix of test_matrix.py: other origins, guesses, codes."""

import ast
import asyncio
import re
import secrets
import time
from pathlib import Path

import httpx
import pytest

from server import auth
from server.auth import judge
from tests.server.client import Browser
from tests.server.conftest import TOKEN, Serve, Served


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
    ("origin", "status"), [("http://desk.example", 401), ("http://evil.example", 403)]
)
async def test_a_host_and_its_origin_are_the_same_in_capitals_too(
    origin: str, status: int, serve: Serve
) -> None:
    async with serve(hosts=["desk.example"]) as served:
        headers = {"Host": "Desk.Example", "Origin": origin}
        answer = await served.http.post("/api/token", json={"code": "wrong"}, headers=headers)
        assert answer.status_code == status  # the code is wrong, but it was looked at


@pytest.mark.parametrize(
    ("host", "status"),
    [("127.0.0.1:8000", 200), ("localhost", 200), ("[::1]:8000", 200), ("evil.example", 400),
     ("127.0.0.1.evil.example", 400), ("", 400), ("LocalHost:8000", 200), ("studio.example", 200)],
)  # fmt: skip
async def test_only_known_hosts_are_answered(host: str, status: int, serve: Serve) -> None:
    async with serve(hosts=["Studio.example"]) as served:  # browsers write it in small letters
        answer = await served.http.get("/healthz", headers={"Host": host})
    assert answer.status_code == status


async def test_a_built_page_takes_nothing_from_the_routes(serve: Serve, tmp_path: Path) -> None:
    """Mounted at the root it answered 404 where a route wants another method."""
    (tmp_path / "index.html").touch()
    async with serve() as served:

        async def answers(method: str, path: str) -> tuple[int, str | None]:
            answer = await served.http.request(method, path)
            return answer.status_code, answer.headers.get("allow")

        assert await answers("GET", "/") == (200, None)
        assert await answers("HEAD", "/") == (200, None)
        assert await answers("HEAD", "/healthz") == (200, None)  # as some probes ask
        assert await answers("HEAD", "/readyz") == (200, None)
        assert await answers("GET", "/api/token") == (405, "POST")
        assert await answers("DELETE", "/api/info") == (405, "GET")
        assert await answers("GET", "/api/info/") == (404, None)
        assert await answers("DELETE", "/") == (405, "GET, HEAD")


async def test_a_file_that_is_not_there_is_asked_for_again(serve: Serve, tmp_path: Path) -> None:
    """While the page is exchanged for a newer one; its files never change."""
    (tmp_path / "index.html").touch()
    (tmp_path / "assets").mkdir()
    (tmp_path / "assets" / "page-1f2e.js").touch()
    async with serve() as served:
        there, missing, barred = [
            await served.http.get(f"/assets/{name}.js", headers=headers)
            for name, headers in (
                ("page-1f2e", {}), ("page-9a8b", {}), ("page-1f2e", {"Host": "evil.example"}),
            )
        ]  # fmt: skip
    assert [each.status_code for each in (there, missing, barred)] == [200, 404, 400]
    assert "immutable" in there.headers["cache-control"]
    assert {each.headers["cache-control"] for each in (missing, barred)} == {"no-store"}


async def test_guessing_is_slowed_down(served: Served) -> None:
    wrong = {"Authorization": "Bearer wrong-wrong-wrong-wrong"}
    codes = [(await served.http.get("/api/info", headers=wrong)).status_code for _ in range(11)]
    assert codes == [401] * 10 + [429]


async def test_a_code_is_good_once_and_a_stale_one_brings_a_new_link(served: Served) -> None:
    served.app.state.print_link()
    code = served.lines[-1].split("#code=")[1]
    first = await served.http.post("/api/token", json={"code": code})
    again = await served.http.post("/api/token", json={"code": code})
    page = {"Authorization": f"Bearer {first.json()['token']}"}
    assert (await served.http.get("/api/info", headers=page)).status_code == 200
    assert TOKEN not in first.text
    assert (again.status_code, again.json()["code"]) == (401, "code_used")
    assert len(served.lines) == 1  # one was printed a moment ago: not at every try


async def test_answers_carry_the_headers_that_keep_a_page_safe(served: Served) -> None:
    headers = (await served.http.get("/healthz")).headers
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"


async def test_the_page_alone_may_ask_obs_and_only_on_its_own_machine(served: Served) -> None:
    async def reachable(path: str) -> list[str]:
        policy = (await served.http.get(path)).headers["content-security-policy"]
        (sources,) = [part for part in policy.split("; ") if part.startswith("connect-src ")]
        return sources.split()[1:]

    assert await reachable("/") == ["'self'", "ws://127.0.0.1:*"]
    for path in ("/overlay/any", "/overlay.js", "/healthz", "/api/info", "/no-such-page"):
        assert await reachable(path) == ["'self'"]


async def test_a_page_token_ends_and_a_changed_one_is_unknown(serve: Serve) -> None:
    async with serve(token_s=1) as served:
        served.app.state.print_link()
        code = served.lines[-1].split("#code=")[1]
        token = (await served.http.post("/api/token", json={"code": code})).json()["token"]
        kind, ends, nonce, signature = token.split(".")
        later = f"{kind}.{int(ends) + 1000}.{nonce}.{signature}"
        assert judge(token, TOKEN, lambda: float(ends) - 1) == "good"
        assert judge(token, "another-main-token", lambda: 0.0) == "unknown"
        for given, code in ((later, "unauthorised"), ("page.x", "unauthorised")):
            answer = await ask(served, given)
            assert (answer.status_code, answer.json()["code"]) == (401, code)
        await asyncio.sleep(max(0.0, float(ends) - time.time()))
        answer = await ask(served, token)
        assert (answer.status_code, answer.json()["code"]) == (401, "token_expired")
        assert answer.headers["www-authenticate"] == "Bearer"


async def ask(served: Served, token: str) -> httpx.Response:
    return await served.http.get("/api/info", headers={"Authorization": f"Bearer {token}"})


def _is_secret(node: ast.expr) -> bool:
    """Say whether an expression is a token, a code or a signature, by its name."""
    name = node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")
    return bool(re.search(r"token|secret|signature|resume|passphrase|password", name))


def test_no_token_is_compared_with_equals() -> None:
    """`==` ends at the first character that is wrong, so its time tells how much is right."""
    wrong = []
    for path in sorted(Path(auth.__file__).parent.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Compare):
                continue
            sides = [node.left, *node.comparators]
            equal = any(isinstance(op, ast.Eq | ast.NotEq | ast.In | ast.NotIn) for op in node.ops)
            if equal and any(_is_secret(side) for side in sides):
                wrong.append(f"{path.name}:{node.lineno}: {ast.unparse(node)}")
    assert wrong == []


def test_tokens_are_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    compared = []
    compare = secrets.compare_digest

    def note(one: bytes, other: bytes) -> bool:
        compared.append((one, other))
        return compare(one, other)

    monkeypatch.setattr(auth.secrets, "compare_digest", note)
    assert auth.same("käse", "käse")
    assert not auth.same("one", "other")
    assert compared == [("käse".encode(), "käse".encode()), (b"one", b"other")]
