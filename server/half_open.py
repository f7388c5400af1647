"""Offers that were answered and have sent no picture yet: they hold places that others may need."""

import time
from collections import Counter
from collections.abc import Iterable

from server.session import Session


def giving_way(offers: Iterable[Session], newcomer: str, late: float) -> Session | None:
    """Find the unfinished offer whose place goes to one from the address `newcomer`, if any does.

    It is the oldest of the address that has most of them: one that keeps more places than the
    newcomer would have, or one that has been at it for more than `late` seconds. So places are
    shared between addresses while none is left, and none gives way to its own address.
    """
    waiting = sorted(offers, key=lambda each: each.started)
    held = Counter(each.address for each in waiting)
    waiting.sort(key=lambda each: -held[each.address])
    now, own = time.monotonic(), held[newcomer]
    for each in waiting:
        more = held[each.address] - own
        if more > 1 or (more == 1 and now - each.started > late):
            return each
    return None
