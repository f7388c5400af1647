"""An output over a line that stands still, is narrow, or breaks: nobody else waits for it."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from fractions import Fraction

import pytest

from streams.frame import Frame, Restyled
from streams.output import Output
from streams.sinks.live_stream import LiveStream
from streams.sinks.stream_child import Start
from tests.streams.rtmp_server import RtmpServer, rtmp_server
from tests.streams.slow_network import SlowNetwork, slow_network
from tests.streams.test_live_stream import KEY, children
from tests.streams.test_recording import picture
from tests.streams.waiting import eventually

pytestmark = pytest.mark.slow
_SIZE, _ROOM = 128, 8
_NOISE = [picture(number, _SIZE) for number in range(16)]


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streams.output.backoff", lambda failures, chance: 0.1)


class Feeding:
    """An output that is fed as if many cameras hung on it: the line's buffers are soon full."""

    def __init__(self, network: SlowNetwork, deadline: float) -> None:
        url = f"rtmp://127.0.0.1:{network.port}/live/{KEY}"
        start = Start(url=url, srt=None, width=_SIZE, height=_SIZE, kbps=50_000, deadline=deadline)
        self.output = Output("one", lambda: LiveStream(start), _SIZE, _SIZE, _ROOM)
        self.longest_put = 0.0  # seconds
        self.most_waiting = 0
        self.number = 0

    async def feed(self) -> None:
        """Leave pictures until cancelled."""
        while True:
            await asyncio.sleep(0.004)
            shown = _shown(self.number)
            began = time.thread_time()
            self.output.put(shown)
            self.longest_put = max(self.longest_put, time.thread_time() - began)
            self.most_waiting = max(self.most_waiting, len(self.output._waiting))
            self.number += 1

    async def becomes(self, state: str) -> None:
        await eventually(lambda: self.output.figures().state == state)


def _shown(number: int) -> Restyled:
    source = Frame(number, number * 3000, Fraction(1, 90000), 0, _NOISE[number % len(_NOISE)])
    return Restyled(source, source.picture, {})


@asynccontextmanager
async def feeding(deadline: float) -> AsyncIterator[tuple[Feeding, SlowNetwork, RtmpServer]]:
    with rtmp_server(KEY) as server:
        async with slow_network(server.port) as network:
            fed = Feeding(network, deadline)
            task = asyncio.create_task(fed.feed())
            try:
                await fed.becomes("live")
                yield fed, network, server
            finally:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task
                network.flow()
                await asyncio.to_thread(fed.output.close)
    assert fed.most_waiting <= _ROOM
    assert fed.longest_put < 0.2
    assert fed.output.figures().state == "ended"
    assert not children()


async def test_a_line_that_stands_still_is_given_up_and_tried_again() -> None:
    async with feeding(deadline=1) as (fed, network, _):
        network.stand_still()
        already = fed.output.figures().dropped
        await fed.becomes("retrying")
        failure = fed.output.figures().failure
        assert failure is not None
        assert failure.detail == "the server did not answer within 1 s"
        assert fed.output.figures().dropped > already
        network.flow()
        await fed.becomes("live")
        assert network.connections >= 2


async def test_a_narrow_line_stays_and_skips_pictures() -> None:
    async with feeding(deadline=20) as (fed, network, server):
        network.rate = 200_000
        already = fed.output.figures().dropped
        await eventually(lambda: fed.output.figures().dropped > already + 50)
        before = server.received
        await eventually(lambda: server.received > before)
        assert fed.output.figures().losses == 0
        assert network.connections == 1


async def test_a_line_that_breaks_or_is_closed_by_the_server_is_tried_again() -> None:
    async with feeding(deadline=5) as (fed, network, _):
        for number, how in enumerate((network.cut, network.half_close), start=1):
            how()
            await eventually(lambda number=number: network.connections > number)  # type: ignore[misc]
            await fed.becomes("live")
            assert fed.output.figures().losses >= number
