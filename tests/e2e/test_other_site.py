"""What a page of another site can do in the same browser, even with the token: nothing."""

import asyncio
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler

import pytest
from playwright.async_api import Page

from tests.e2e.conftest import SHARED
from tests.e2e.serving import TOKEN, Server, site

pytestmark = SHARED

_TRY = """async ([url, token]) => {
  const headers = { Authorization: `Bearer ${token}` };
  const json = { ...headers, "Content-Type": "application/json" };
  const sdp = { ...headers, "Content-Type": "application/sdp" };
  const offer = JSON.stringify({ sdp: "v=0", type: "offer" });
  const calls = {
    read: ["/api/info", { headers }],
    guess: ["/api/sessions", {}],
    offer: ["/api/sessions", { method: "POST", headers: json, body: offer }],
    form: ["/api/sessions", { method: "POST", body: offer, mode: "no-cors" }],
    publish: ["/whip", { method: "POST", headers: sdp, body: "v=0" }],
  };
  const seen = {};
  for (const [name, [path, init]] of Object.entries(calls)) {
    try {
      const answer = await fetch(url + path, init);
      seen[name] = answer.type === "opaque" ? "opaque" : `read ${answer.status}`;
    } catch { seen[name] = "refused"; }
  }
  const frame = document.createElement("iframe");
  frame.src = url;
  const loaded = new Promise((resolve) => { frame.onload = resolve; });
  document.body.append(frame);
  await loaded;
  return seen;
}"""


class _Empty(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b"<!doctype html><body>another site</body>")

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def other_site() -> Iterator[str]:
    """Serve an empty page from an origin of its own."""
    with site(_Empty) as origin:
        yield origin


async def test_another_site_reads_nothing_makes_nothing_and_frames_nothing(
    page: Page, light: Server, other_site: str
) -> None:
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    await page.goto(other_site)
    seen = await page.evaluate(_TRY, [light.url, TOKEN])
    reached = seen.pop("form")  # sent without leave to read the answer, so it must change nothing
    assert set(seen.values()) == {"refused"}, seen
    assert reached in ("opaque", "refused")
    assert not (await asyncio.to_thread(light.api, "GET", "/api/sessions"))["sessions"]
    assert any("frame-ancestors" in line or "X-Frame-Options" in line for line in said), said
    inside = [frame for frame in page.frames if frame.parent_frame is not None]
    assert len(inside) == 1
    assert "Restyle" not in await inside[0].content()
