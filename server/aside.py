"""Calls that block for seconds: off the loop, and off the threads in which pictures are encoded.

The loop's own pool has few threads, and aiortc encodes in it: six calls that wait for dead cameras
would hold every session's picture.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from functools import partial
from typing import ParamSpec, TypeVar

_MOST = 64  # threads; they are made as they are needed
_pool = ThreadPoolExecutor(_MOST, "aside")
_P = ParamSpec("_P")
_T = TypeVar("_T")


async def aside(call: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
    """Run a call in a thread aside, as asyncio.to_thread does; raises what it raises."""
    ready = partial(copy_context().run, call, *args, **kwargs)
    return await asyncio.get_running_loop().run_in_executor(_pool, ready)
