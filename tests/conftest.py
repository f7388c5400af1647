"""Every test is a leak test; `--size small` leaves the slow ones out."""

import asyncio
import gc
import threading
from collections.abc import AsyncIterator, Iterator

import jaxtyping
import pytest

# pools that last as long as the process (`aside` is ours), and those that end once they are
# collected: a session's flow, which test_session_state.py checks
_LASTING = (
    "asyncio_",
    "AnyIO worker",
    "ThreadPoolExecutor",
    "pytest_timeout",
    "tqdm",
    "flow_",
    "aside_",
)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--size", choices=("small", "full"), default="full")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--size") == "full":
        return
    skip = pytest.mark.skip(reason="--size small leaves slow tests out")
    for item in items:
        if {"slow", "e2e"} & {mark.name for mark in item.iter_markers()}:
            item.add_marker(skip)


def pytest_collection_finish(session: pytest.Session) -> None:
    # what is loaded stays: full collections that walked through it held loops up, for up to 0.5 s
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="module")
def unchecked() -> Iterator[None]:
    """Leave out the checks of shapes, which take most of the time where tensors are tiny."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.fixture(autouse=True)
async def nothing_left_behind() -> AsyncIterator[None]:
    """Fail a test that leaves a thread running or a task's error unheard."""
    unheard: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: unheard.append(context))
    before = set(threading.enumerate())
    yield
    gc.collect(1)  # an error is unheard once its task is collected; a full pass is slow with torch
    new = [t for t in threading.enumerate() if t not in before]
    for thread in new:
        if thread.name.startswith("asyncio-waitpid") or "process_request" in thread.name:
            # ends a moment after its process, or after the client of a site that a test serves
            await asyncio.to_thread(thread.join, 20)
    left = [t.name for t in new if t.is_alive() and not t.name.startswith(_LASTING)]
    assert not left, f"threads still running: {left}"
    assert not unheard, f"errors nobody awaited: {unheard}"
