"""`--no-warped-noise`: whoever asks for it is refused, on every way in, and none of it runs."""

import struct
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest

from pipeline.params import Noise, StyleParams
from server.__main__ import main
from server.osc import Osc
from server.settings import Settings, load_settings
from streams.protocol import Image
from tests.server.client import Browser
from tests.server.conftest import Serve
from tests.server.players import Publisher
from tests.server.test_osc import bundle, message, text
from tests.streams.fakes import FakeEngine
from tests.streams.waiting import eventually

WARPED = {"noise": "warped", "strength": 0.5}
OFF: dict[str, object] = {"warped_noise": False}


class Noting(FakeEngine):
    """Notes which kinds of noise it was asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.noises: set[Noise] = set()

    def submit(
        self,
        session: str,
        number: int,
        image: Image,
        params: StyleParams,
        arrived: float | None = None,
    ) -> None:
        self.noises.add(params.noise)
        super().submit(session, number, image, params, arrived)


async def test_what_begins_a_session_with_it_is_refused_and_makes_nothing(
    serve: Serve, tmp_path: Path
) -> None:
    cv2.imwrite(str(tmp_path / "still.png"), np.full((64, 64, 3), 60, np.uint8))
    async with serve(warped_noise=False, source_folder=tmp_path) as served:
        browser, publisher = Browser(), Publisher()
        still = {"kind": "image", "at": "still.png"}
        for refused in (
            await browser.connect(served.http, **WARPED),
            await publisher.publish(served.http, "?noise=warped"),
            await served.http.post("/api/sources", json=still | {"style": WARPED}),
        ):
            assert (refused.status_code, refused.json()["code"]) == (422, "invalid"), refused.text
            assert "there are fixed and fresh" in refused.json()["detail"]
            assert "--no-warped-noise" in refused.json()["detail"]
        assert served.sessions == 0
        assert (await served.http.post("/api/sources", json=still)).status_code == 201
        await browser.close()
        await publisher.close()


async def test_a_session_that_asks_for_it_is_refused_and_goes_on_as_it_was(serve: Serve) -> None:
    engine = Noting()
    async with serve(lambda: engine, warped_noise=False) as served:
        browser = Browser()
        path = (await browser.connect(served.http, noise="fresh")).headers["location"]
        await browser.level()  # a picture has its noise
        refused = await served.http.patch(path, json=WARPED)
        assert (refused.status_code, refused.json()["code"]) == (422, "invalid")

        browser.say(type="style", seq=1, style=WARPED)
        error = await browser.hear("error")
        assert (error["seq"], error["code"]) == (1, "invalid")
        assert "there are fixed and fresh" in error["detail"]

        counts: Counter[str] = Counter()
        osc = Osc(served.app.state.context.sessions, counts, Settings(warped_noise=False))
        for packet in (  # one that is refused takes no other with it
            message("/restyle/noise", "s", text("warped")),
            bundle(message("/restyle/strength", "f", struct.pack(">f", 0.25))),
        ):
            osc.datagram_received(packet, None)
        (session,) = served.app.state.context.sessions
        await eventually(lambda: session.control.style.strength == 0.25)
        assert counts == {"ignored": 1, "used": 1}
        assert session.control.style.noise == "fresh"

        browser.say(type="style", seq=2, style={"noise": "fixed", "noise_warp": 0.5})
        assert (await browser.hear("applied"))["style"]["noise"] == "fixed"
        await eventually(lambda: engine.noises == {"fresh", "fixed"})
        await browser.close()


@pytest.mark.parametrize(
    ("values", "noises"), [({}, ["fixed", "warped", "fresh"]), (OFF, ["fixed", "fresh"])]
)
async def test_a_page_is_told_which_noise_it_may_offer(
    values: dict[str, object], noises: list[Noise], serve: Serve
) -> None:
    async with serve(**values) as served:
        assert (await served.http.get("/api/info")).json()["noises"] == noises
        browser = Browser()
        answer = await browser.connect(served.http, **WARPED)
        assert answer.status_code == (422 if values else 201)
        await browser.close()


def test_it_is_left_out_by_an_option_or_the_environment_for_films_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    film = ["stylize", "in.mp4", "out.mp4", "--noise", "warped"]
    assert main([*film, "--no-warped-noise"]) == 2
    assert "noise: warped noise is left out here" in capsys.readouterr().err
    assert load_settings().warped_noise
    monkeypatch.setenv("RESTYLE_WARPED_NOISE", "false")
    assert not load_settings().warped_noise
    assert main(film) == 2
    assert "noise: warped noise is left out here" in capsys.readouterr().err
    assert main([*film, "--warped-noise"]) == 2
    assert "in.mp4: no such file" in capsys.readouterr().err
