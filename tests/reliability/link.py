"""A bad network: two namespaces on one link that a thread carries packet by packet, and impairs.

Each side has a TUN device; what it sends comes out of a file descriptor here. So no kernel module
(netem), no firewall tool and no checksum offload is needed: root, iproute2 and /dev/net/tun are.
"""

import fcntl
import heapq
import itertools
import os
import random
import select
import shutil
import struct
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

_TUNSETIFF, _TUN_NO_PI = 0x400454CA, 0x1001  # linux/if_tun.h
_UDP = 17
SERVER, CLIENT, MOVED = "10.77.0.1", "10.77.0.2", "10.77.0.3"


def missing() -> str | None:
    """Say what this machine lacks for it; None: nothing."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    if shutil.which("ip") is None:
        return "`ip` is not here: install iproute2"
    return None if os.path.exists("/dev/net/tun") else "/dev/net/tun is not here"


@dataclass(frozen=True, slots=True, kw_only=True)
class Impairment:
    """What happens to UDP packets, each way. Signalling goes over TCP and is only delayed."""

    loss: float = 0.0  # share of packets, independent of each other
    burst: float = 0.0  # packets that are lost together, on average; 0: no bursts
    delay: float = 0.0  # seconds
    jitter: float = 0.0  # standard deviation of the delay, in seconds
    reorders: bool = False  # jitter may overtake; else a packet waits for the one before it
    rate: float = 0.0  # bits per second; 0: no limit
    buffer: float = 0.2  # seconds of the rate that may wait; what is more is lost
    down: bool = False  # nothing passes at all, TCP neither


class Link:
    """Carries packets between two file descriptors; `impair` may be called at any time."""

    def __init__(self, ends: tuple[int, int], seed: int = 1) -> None:
        self.counts: Counter[str] = Counter()
        self._ends, self._chance, self._order = ends, random.Random(seed), itertools.count()
        self._now = Impairment()
        self._waiting: list[tuple[float, int, int, bytes]] = []  # release, order, end, packet
        self._last = [0.0, 0.0]  # release of the newest packet, each way
        self._bad = [False, False]  # in a burst of loss, each way
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="link", daemon=True)
        self._thread.start()

    def impair(self, impairment: Impairment) -> None:
        """Let the link be like this from now on."""
        self._now = impairment

    def close(self) -> None:
        """End the thread and the devices."""
        self._stop.set()
        self._thread.join()
        for end in self._ends:
            os.close(end)

    def _run(self) -> None:
        while not self._stop.is_set():
            due = self._waiting[0][0] - time.monotonic() if self._waiting else 0.05
            readable, _, _ = select.select(self._ends, [], [], min(max(due, 0.0), 0.05))
            for end in readable:
                self._take(self._ends.index(end))
            while self._waiting and self._waiting[0][0] <= time.monotonic():
                _, _, to, packet = heapq.heappop(self._waiting)
                os.write(self._ends[to], packet)

    def _take(self, side: int) -> None:
        for _ in range(64):  # one direction must not starve the other
            try:
                packet = os.read(self._ends[side], 65535)
            except BlockingIOError:
                return
            if packet[0] >> 4 != 4:
                continue  # IPv6's own chatter
            is_media, link = packet[9] == _UDP, self._now
            self.counts["udp" if is_media else "other"] += 1
            if link.down or (is_media and self._is_lost(link, side)):
                self.counts["lost"] += 1
                continue
            self._send(link, side, packet, is_media)

    def _send(self, link: Impairment, side: int, packet: bytes, is_media: bool) -> None:
        now = time.monotonic()
        release = now + max(0.0, self._chance.gauss(link.delay, link.jitter))
        if link.rate and is_media:
            start = max(now, self._last[side])
            if start - now > link.buffer:
                self.counts["overflowed"] += 1
                return
            release = start + len(packet) * 8 / link.rate
        if not link.reorders:
            release = max(release, self._last[side])
        self._last[side] = max(release, self._last[side])
        heapq.heappush(self._waiting, (release, next(self._order), 1 - side, packet))

    def _is_lost(self, link: Impairment, side: int) -> bool:
        if not link.burst:
            return self._chance.random() < link.loss
        # Gilbert: all is lost in the bad state, which lasts `burst` packets on average
        leave = 1 / link.burst
        enter = leave * link.loss / (1 - link.loss)
        self._bad[side] = self._chance.random() < ((1 - leave) if self._bad[side] else enter)
        return self._bad[side]


class Network:
    """The two namespaces and the link between them."""

    def __init__(self, server: str, client: str, link: Link) -> None:
        self.server, self.client, self.link = server, client, link

    def move_client(self) -> None:
        """Give the client another address, as a phone that leaves the house."""
        device = f"dev {_device(self.client)}"
        _ip(f"-n {self.client} addr add {MOVED}/24 {device}")
        _ip(f"-n {self.client} addr del {CLIENT}/24 {device}")
        _ip(f"-n {self.client} addr replace {MOVED}/24 {device}")  # went with the first of its net


@contextmanager
def network(seed: int = 1) -> Iterator[Network]:
    """Make it, and remove it whatever happens."""
    names = tuple(f"rst{os.getpid()}{side}" for side in "sc")
    made = []
    try:
        for name in names:
            _ip(f"netns add {name}")
            made.append(name)
        ends = _end(names[0], SERVER), _end(names[1], CLIENT)
        link = Link(ends, seed)
        try:
            yield Network(*names, link)
        finally:
            link.close()
    finally:
        for name in made:
            _ip(f"netns del {name}")


def _end(namespace: str, address: str) -> int:
    """Make a TUN device in a namespace; give the descriptor of its other side."""
    device = _device(namespace)
    end = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(end, _TUNSETIFF, struct.pack("16sH", device.encode(), _TUN_NO_PI))
    _ip(f"link set {device} netns {namespace}")
    _ip(f"-n {namespace} link set lo up")
    _ip(f"-n {namespace} addr add {address}/24 dev {device}")
    _ip(f"-n {namespace} link set {device} up")
    return end


def _device(namespace: str) -> str:
    return namespace[-15:]


def _ip(arguments: str) -> None:
    done = subprocess.run(["ip", *arguments.split()], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"ip {arguments}: {done.stderr.strip()}")
