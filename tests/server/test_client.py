"""The Python client against the real application, with an engine that inverts pictures."""

import asyncio
import os
import re
import sys
import textwrap
import time
from fractions import Fraction
from pathlib import Path

import httpx
import numpy as np
import pytest

from pipeline.params import StyleParams
from server.client import Client, Refused
from streams.errors import SourceError
from streams.sinks.recorder import Recorder
from tests.server.conftest import TOKEN, Serve, Served
from tests.server.players import listening
from tests.streams.fakes import FakeEngine
from tests.streams.pictures import frame
from tests.streams.waiting import PATIENCE

ROOT = Path(__file__).parents[2]


def client_of(served: Served, token: str = TOKEN) -> Client:
    transport = httpx.ASGITransport(served.app, raise_app_exceptions=False)
    return Client("http://127.0.0.1", token, transport)


def grey(level: int) -> np.ndarray:
    return np.full((64, 64, 3), level, np.uint8)


async def level(restyle: Client, sent: int, wanted: float) -> float:
    """Send a picture until its result is near `wanted`; give the last result's mean."""
    mean = -1.0
    async with asyncio.timeout(PATIENCE):
        while abs(mean - wanted) > 8:
            restyle.send(grey(sent))
            mean = float((await restyle.receive()).mean())
    return mean


async def test_pictures_come_back_restyled_and_the_style_changes(served: Served) -> None:
    async with client_of(served) as restyle:
        await restyle.connect(prompt="ink")

        assert await level(restyle, 60, 195) == pytest.approx(195, abs=8)  # inverted
        answer = await restyle.change(bypass=True)
        assert answer["style"]["bypass"] is True
        assert answer["style"]["prompt"] == "ink"
        assert await level(restyle, 60, 60) == pytest.approx(60, abs=8)
        assert (await restyle.state())["stats"]["frames_in"] > 0
    assert served.sessions == 0


async def test_what_the_server_refuses_is_said_in_its_words(served: Served) -> None:
    async with client_of(served, "a-token-that-nobody-made") as stranger:
        with pytest.raises(Refused, match="token"):
            await stranger.connect()
    async with client_of(served) as restyle:
        with pytest.raises(Refused, match="strength"):
            await restyle.connect(strength=2)


async def test_an_answer_that_comes_too_late_is_waited_for_no_longer(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Slow(FakeEngine):
        def prepare(self, params: StyleParams) -> str | None:
            time.sleep(0.5 if params.prompt == "slow" else 0)
            return None

    async with serve(Slow) as served, client_of(served) as restyle:
        await restyle.connect()
        with monkeypatch.context() as patience:
            patience.setattr("server.client._PATIENCE", 0.05)
            with pytest.raises(TimeoutError):
                await restyle.change(prompt="slow")
        assert not restyle._answers
        assert (await restyle.change(steps=2))["style"]["prompt"] == "slow"


async def test_a_bad_change_is_refused_and_the_session_goes_on(served: Served) -> None:
    async with client_of(served) as restyle:
        await restyle.connect()
        with pytest.raises(Refused, match="steps"):
            await restyle.change(steps=99)
        assert (await restyle.change(steps=2))["style"]["steps"] == 2


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (np.zeros((4, 4), np.uint8), r"uint8 \[4, 4\]"),
        (np.zeros((4, 4, 3), np.float32), "float32"),
        (np.zeros((5, 4, 3), np.uint8), "4x5: send even sides"),
    ],
)
async def test_what_is_no_picture_is_refused(image: np.ndarray, words: str, serve: Serve) -> None:
    async with Client("http://127.0.0.1", TOKEN) as restyle:
        with pytest.raises(ValueError, match=words):
            restyle.send(image)


async def test_a_file_is_sent_at_its_own_pace_and_one_that_is_none_is_named(
    served: Served, tmp_path: Path
) -> None:
    async with client_of(served) as restyle:
        await restyle.connect()
        with pytest.raises(SourceError, match="no such file"):
            await restyle.send_file(tmp_path / "nothing.mp4")
        with pytest.raises(SourceError, match="no such file"):
            async for _ in restyle.film(tmp_path / "nothing.mp4"):
                pass
        recorder = Recorder(tmp_path / "in.mp4", Fraction(25))
        for number in range(50):
            recorder.write(frame(number, 60).picture)
        recorder.close()
        began = time.monotonic()
        async with asyncio.timeout(PATIENCE):  # it does not wait for more than there is
            means = [float(image.mean()) async for image in restyle.film(tmp_path / "in.mp4")]
        assert time.monotonic() - began > 1.5  # the film has two seconds
        assert len(means) > 10
        assert means[-1] == pytest.approx(195, abs=8)


async def test_a_server_that_is_gone_leaves_nothing_open_and_its_own_error(serve: Serve) -> None:
    async with serve() as served:
        client = client_of(served)

        def gone(request: httpx.Request) -> httpx.Response:
            raise httpx.ConnectError("gone", request=request)

        async def program() -> None:
            async with client as restyle:
                await restyle.connect()
                await restyle.change(strength=0.3)
                assert not restyle._answers  # none is kept
                restyle._http._transport = httpx.MockTransport(gone)
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            await program()
        assert client._connection.connectionState == "closed"
        assert client._http.is_closed


def example_of_readme() -> str:
    """Give the Python program of README.md."""
    text = (ROOT / "README.md").read_text()
    (program,) = [
        block
        for block in re.findall(r"\n\n((?:    .*\n|\n)+)", text)
        if "from server.client import Client" in block
    ]
    return textwrap.dedent(program)


@pytest.mark.slow
async def test_the_program_of_the_readme_sees_pictures(served: Served, tmp_path: Path) -> None:
    program = example_of_readme()
    recorder = Recorder(tmp_path / "in.mp4", Fraction(25))
    for number in range(50):
        recorder.write(frame(number, 60).picture)
    recorder.close()
    token = tmp_path / ".local/state/restyle/token"
    token.parent.mkdir(parents=True)
    token.write_text(TOKEN)
    async with listening(served.app) as url:
        assert "http://127.0.0.1:8000" in program
        run = await asyncio.create_subprocess_exec(
            sys.executable, "-c", program.replace("http://127.0.0.1:8000", url), cwd=tmp_path,
            env=os.environ | {"HOME": str(tmp_path), "PYTHONPATH": str(ROOT)},
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        said, complaints = await asyncio.wait_for(run.communicate(), 60)
    assert run.returncode == 0, complaints.decode()
    lines = said.decode().splitlines()
    assert len(lines) > 10
    assert all(line.startswith("(64, 64, 3) ") for line in lines)
    assert float(lines[-1].rpartition(" ")[2]) == pytest.approx(195, abs=8)  # inverted
    assert served.sessions == 0
