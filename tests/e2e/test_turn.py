"""Chromium that may use nothing but a relay: page and overlay get their pictures through coturn."""

from pathlib import Path

import pytest
from playwright.async_api import Page

from tests.e2e.conftest import SHARED, go_live, until_state
from tests.e2e.serving import LIGHT, serving
from tests.server.relay import SECRET, coturn

pytestmark = SHARED

_RELAY_ALONE = """
const Plain = window.RTCPeerConnection;
const relayed = (configuration) => ({ ...configuration, iceTransportPolicy: "relay" });
window.peers = [];
window.RTCPeerConnection = class extends Plain {
  constructor(configuration) { super(relayed(configuration)); window.peers.push(this); }
  setConfiguration(configuration) { super.setConfiguration(relayed(configuration)); }
};
"""
_PAIR = """async () => {
  const stats = [...(await window.peers.at(-1).getStats()).values()];
  const pair = stats.find((each) => each.type === "candidate-pair" && each.nominated);
  return stats.find((each) => each.id === pair.localCandidateId).candidateType;
}"""


async def test_page_and_overlay_come_by_a_relay(
    page: Page, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with coturn(tmp_path) as relay:
        monkeypatch.setenv("RESTYLE_TURN_URLS", relay)
        monkeypatch.setenv("RESTYLE_TURN_SECRET", SECRET)
        await page.context.add_init_script(_RELAY_ALONE)
        with serving(tmp_path / "state", module=LIGHT) as server:
            await go_live(page, server)
            assert await page.evaluate(_PAIR) == "relay"

            (session,) = server.api("GET", "/api/sessions")["sessions"]
            overlay = await page.context.new_page()
            await overlay.goto(
                f"{server.url}/overlay/{session['id']}#token={session['viewer_token']}"
            )
            await overlay.wait_for_function("() => document.querySelector('video').videoWidth > 0")
            assert await overlay.evaluate(_PAIR) == "relay"
            await page.get_by_test_id("stop").click()
            await until_state(page, "idle")
