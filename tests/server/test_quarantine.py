"""A session whose style kills the engine is told so, and others go on."""

from server.top import table
from tests.server.client import Browser
from tests.server.conftest import Serve
from tests.streams.test_engine_process import started
from tests.streams.waiting import discard


async def hint(browser: Browser) -> str | None:
    """Wait until the page is told another hint by itself."""
    return (await browser.hear("changed"))["hint"]


async def test_a_page_is_told_that_its_style_kills_the_engine(serve: Serve) -> None:
    with started() as engine:
        async with serve(lambda: engine) as served:
            ann, ben = Browser(), Browser()
            location = (await ann.connect(served.http)).headers["location"]
            await ben.connect(served.http)
            assert abs(await ann.level() - 195) < 8

            ann.say(type="style", seq=1, style={"prompt": "die"})
            assert "lost twice" in str(await hint(ann))
            while abs(await ben.level() - 195) > 8:
                pass  # the engine restarts
            assert abs(await ann.level() - 60) < 8
            state = (await served.http.get(location)).json()
            assert "lost twice" in state["hint"]
            assert state["engine"] == "held"
            while (await ann.hear("stats"))["engine"] != "held":
                pass
            discard(ben.messages)
            assert (await ben.hear("stats"))["engine"] == "running"
            found = {
                of: (await served.http.get(f"/api/{of}")).json() for of in ("info", "sessions")
            }
            rows = [row.split()[1] for row in table("http://here", found)[3:]]
            assert rows == ["held", "live"]
            assert state["style"]["prompt"] == "die"

            ann.say(type="style", seq=2, style={"prompt": "ink"})
            while (await ann.hear("applied"))["seq"] != 2:
                pass
            while abs(await ann.level() - 195) > 8:
                pass
            state = (await served.http.get(location)).json()
            assert (state["hint"], state["engine"]) == (None, "running")
            assert (await served.http.get("/readyz")).status_code == 200
            assert served.worker.engine_losses == 2
            for each in (ann, ben):
                await each.close()
