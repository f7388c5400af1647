"""WHIP and WHEP clients that are not ours, on a page of a configured origin."""

import asyncio
import subprocess
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler
from pathlib import Path

import pytest
from playwright.async_api import Page

from tests.e2e.conftest import SHARED
from tests.e2e.serving import LIGHT, ROOT, TOKEN, Server, serving, site
from tests.streams.waiting import PATIENCE

pytestmark = SHARED

# fetched, not kept: nothing of the product needs them. The first two bring the last two
_PACKAGES = (
    "@eyevinn/whip-web-client@1.1.7", "whip-whep@1.2.0", "events@3.3.0", "sdp-transform@2.15.0",
)  # fmt: skip
_ENTRY = """
export { WHIPClient as Eyevinn } from "@eyevinn/whip-web-client";
export { WHIPClient } from "whip-whep/whip.js";
export { WHEPClient } from "whip-whep/whep.js";
"""
_PUBLISH = """async ([client, url, token]) => {
  const { Eyevinn, WHIPClient } = await import("/clients.js");
  const camera = await navigator.mediaDevices.getUserMedia({ video: true });
  if (client === "@eyevinn/whip-web-client") {
    const publisher = new Eyevinn({ endpoint: url, opts: { authkey: token, iceServers: [] } });
    await publisher.ingest(camera);
    window.unpublish = () => publisher.destroy();
    return publisher.getResourceUrl();
  }
  const publisher = new WHIPClient(), peer = new RTCPeerConnection();
  peer.addTransceiver(camera.getVideoTracks()[0], { direction: "sendonly" });
  await publisher.publish(peer, url, token);
  window.unpublish = () => publisher.stop();
  return publisher.resourceURL.href;
}"""
_PLAY = """async ([url, token]) => {
  const { WHEPClient } = await import("/clients.js");
  const player = new WHEPClient(), peer = new RTCPeerConnection();
  const video = document.body.appendChild(document.createElement("video"));
  video.muted = video.autoplay = true;
  peer.addTransceiver("video", { direction: "recvonly" });
  peer.addEventListener("track", (event) => { video.srcObject = new MediaStream([event.track]); });
  await player.view(peer, url, token);
  window.leave = () => player.stop();
}"""
_PLAYS = (
    "() => (document.querySelector('video')?.getVideoPlaybackQuality().totalVideoFrames ?? 0) > 20"
)


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def clients() -> Path:
    """Give a folder with the clients as one module, and an empty page."""
    folder = ROOT / "build" / "whip-clients"
    bundler = ROOT / "frontend" / "node_modules" / ".bin" / "rolldown"
    built = folder / "site" / "clients.js"
    if built.exists():
        return built.parent
    built.parent.mkdir(parents=True, exist_ok=True)
    (folder / "entry.js").write_text(_ENTRY)
    (built.parent / "index.html").write_text("<!doctype html><body>another site</body>")
    fetch = ["npm", "install", "--no-save", "--ignore-scripts", "--no-audit", "--no-fund"]
    try:
        for command in (
            [*fetch, "--fetch-retries", "0", "--prefix", ".", *_PACKAGES],
            [
                str(bundler),
                "entry.js",
                "--format",
                "esm",
                "--platform",
                "browser",
                "-o",
                str(built),
            ],
        ):
            subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=60)
    except (OSError, subprocess.SubprocessError) as error:
        pytest.skip(f"the clients cannot be fetched: {error}")
    return built.parent


@pytest.fixture
def other_site(clients: Path) -> Iterator[str]:
    """Serve the clients from an origin of their own."""
    handler = partial(_Quiet, directory=str(clients))
    with site(handler) as origin:
        yield origin


@pytest.fixture
def friendly(other_site: str, tmp_path: Path) -> Iterator[Server]:
    """Run a server that lets that site in."""
    with serving(tmp_path, "--origins", other_site, module=LIGHT) as running:
        yield running


async def sessions(server: Server) -> list[dict[str, object]]:
    found: list[dict[str, object]] = (await asyncio.to_thread(server.api, "GET", "/api/sessions"))[
        "sessions"
    ]
    return found


@pytest.mark.parametrize("client", ["@eyevinn/whip-web-client", "whip-whep"])
async def test_foreign_clients_publish_play_and_end_from_another_origin(
    client: str, page: Page, friendly: Server, other_site: str
) -> None:
    await page.goto(other_site)
    at = await page.evaluate(_PUBLISH, [client, f"{friendly.url}/whip?prompt=ink", TOKEN])
    async with asyncio.timeout(PATIENCE):
        while not (made := await sessions(friendly)) or made[0]["state"] != "live":  # noqa: ASYNC110
            await asyncio.sleep(0.1)
    assert at == f"{friendly.url}/whip/{made[0]['id']}"
    watched = f"{friendly.url}/whep/{made[0]['id']}"
    await page.evaluate(_PLAY, [watched, made[0]["viewer_token"]])
    await page.wait_for_function(_PLAYS)
    assert (await sessions(friendly))[0]["viewers"] == 1

    await page.evaluate("window.leave()")  # both wait for DELETE's answer
    assert (await sessions(friendly))[0]["viewers"] == 0
    await page.evaluate("window.unpublish()")
    assert await sessions(friendly) == []
