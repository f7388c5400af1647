"""A media process can hold connections and nothing else."""

import json
import multiprocessing
import os
import pickle
import platform
import resource
import signal
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Callable
from multiprocessing.shared_memory import SharedMemory
from pathlib import Path

import pytest

from streams import media_entry, sandbox
from tests.streams.waiting import PATIENCE

SECRET = "what a decoder must not read"
SIZE = Path(sandbox.__file__).stat().st_size

needs_linux = pytest.mark.skipif(
    sys.platform != "linux" or platform.machine() not in sandbox._MACHINES,
    reason="seccomp and Landlock are Linux's",
)


def tries(given: tuple[str, str], end: socket.socket) -> None:
    """Try what is forbidden and what is needed; tell the other end what came of it."""
    folder, memory = given
    attempts: dict[str, Callable[[], object]] = {
        "run a program": lambda: subprocess.run([sys.executable, "-V"], check=True),
        "begin a process": os.fork,
        "read a file": lambda: Path(folder, "secret").read_text(),
        "write a file": lambda: Path(folder, "new").write_text("planted"),
        "write to its own code": lambda: os.truncate(sandbox.__file__, SIZE),
        "remove a file": lambda: Path(folder, "secret").unlink(),
        "read another's environment": lambda: Path(f"/proc/{os.getppid()}/environ").read_bytes(),
        "end another process": lambda: os.kill(os.getppid(), 0),
        "take more than its memory": lambda: bytearray(resource.getrlimit(resource.RLIMIT_DATA)[0]),
        "take a port": lambda: socket.socket(type=socket.SOCK_DGRAM).bind(("127.0.0.1", 0)),
        "look up a name": lambda: socket.getaddrinfo("localhost", 1),
        "load more of itself": lambda: __import__("streams.convert"),
        "open shared memory": lambda: SharedMemory(memory),
        "begin a thread": threading.Thread(target=int).start,
    }
    told = {"lacking": ", ".join(sandbox.lacking)}
    for name, attempt in attempts.items():
        try:
            attempt()
            told[name] = "done"
        except (OSError, MemoryError) as error:
            told[name] = type(error).__name__
    end.sendall(json.dumps(told).encode())
    end.close()
    os._exit(0)


@needs_linux
def test_what_strangers_send_to_can_neither_run_nor_read_nor_write_anything(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(SECRET)
    memory = SharedMemory(create=True, size=16)
    ours, theirs = socket.socketpair()
    packed = pickle.dumps((tries, (str(tmp_path), memory.name)))
    process = multiprocessing.get_context("spawn").Process(
        target=media_entry.run, args=(packed, theirs)
    )
    process.start()
    theirs.close()
    ours.settimeout(PATIENCE)
    with ours, ours.makefile() as said:
        told = json.loads(said.read())
    process.join(PATIENCE)
    memory.close()
    memory.unlink()

    done = {name for name, what in told.items() if what == "done"}
    needed = {"take a port", "look up a name", "load more of itself", "open shared memory"}
    of_files = {"read a file", "write a file", "write to its own code", "remove a file"}
    if "Landlock" in told.pop("lacking"):
        done -= of_files
    assert done == needed | {"begin a thread"}
    assert told["take more than its memory"] == "MemoryError"
    assert (tmp_path / "secret").read_text() == SECRET
    assert process.exitcode == 0


def decides(machine: str, call: int, flags: int = 0, of: str | None = None) -> int:
    """Run a machine's filter as the kernel does, for a call of machine `of`."""
    program = sandbox._filter(machine)
    seen = struct.pack("=iIQ6Q", call, sandbox._MACHINES[of or machine][0], 0, flags, *[0] * 5)
    at, value = 0, 0
    while True:
        code, yes, no, given = struct.unpack_from("HBBI", program, 8 * at)
        at += 1
        if code == sandbox._RETURN:
            return int(given)
        if code == sandbox._LOAD:
            (value,) = struct.unpack_from("=I", seen, given)
            continue
        true = {
            sandbox._EQUAL: value == given,
            sandbox._AT_LEAST: value >= given,
            sandbox._ANY_BIT: bool(value & given),
        }[code]
        at += yes if true else no


@pytest.mark.parametrize("machine", sandbox._MACHINES)
def test_the_filter_lets_threads_begin_and_nothing_else(machine: str) -> None:
    refused, unknown = sandbox._FAIL | sandbox._EPERM, sandbox._FAIL | sandbox._ENOSYS
    _, _, clone, clone3 = sandbox._MACHINES[machine]
    assert decides(machine, clone, flags=sandbox._THREAD | 0x700) == sandbox._ALLOW
    assert decides(machine, clone, flags=signal.SIGCHLD) == refused
    assert decides(machine, clone3) == unknown
    for call in (*sandbox._FORBIDDEN[machine], *sandbox._FORBIDDEN_EVERYWHERE):
        assert decides(machine, call) == refused
    sends = {"x86_64": 44, "aarch64": 206}[machine]
    assert decides(machine, sends) == sandbox._ALLOW
    other = next(each for each in sandbox._MACHINES if each != machine)
    assert decides(machine, sends, of=other) == sandbox._KILL
    if machine == "x86_64":
        assert decides(machine, sandbox._X32 | sends) == refused


def test_a_system_that_can_take_nothing_away_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "lacking", [])
    monkeypatch.setattr(sys, "platform", "darwin")
    sandbox.close_files()
    sandbox.forbid_calls()
    monkeypatch.undo()
    monkeypatch.setattr(sandbox, "lacking", [])
    monkeypatch.setattr(platform, "machine", lambda: "vax")
    sandbox.forbid_calls()
    assert sandbox.lacking == ["seccomp"]
