"""What a process that reads what strangers send gives up, as far as the system can take it away.

Landlock (files) and seccomp (calls) are asked for by their numbers, so no library is needed.
"""

import ctypes
import os
import platform
import resource
import stat
import struct
import sys
from contextlib import suppress
from pathlib import Path

lacking: list[str] = []  # what this system cannot take away, for the log

_MEMORY = 4 * 2**30  # bytes that may be written to, of which what is loaded takes 0.3 GiB
# each decoder and encoder has a thread a core, up to 16, whose stack of 8 MiB counts
_MEMORY_PER_CORE, _MOST_CORES = 2**29, 16
_SYSTEM = (
    "/usr", "/lib", "/lib64", "/etc", "/sys", "/nix/store", "/dev/urandom", "/dev/random",
    "/run/systemd/resolve", "/run/resolvconf",  # where names of relays are looked up
    "/proc/self", "/proc/sys", "/proc/cpuinfo", "/proc/meminfo", "/proc/stat",
)  # fmt: skip
_WRITTEN = ("/dev/shm", "/dev/null")  # nosec B108

# Landlock: Linux 5.13, linux/landlock.h. The numbers of the calls are the same everywhere.
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_VERSION, _PATH_BENEATH = 1, 1
_WRITE_FILE, _READ_FILE, _READ_DIR, _TRUNCATE = 1 << 1, 1 << 2, 1 << 3, 1 << 14
_RIGHTS = {1: 13, 2: 14, 3: 15, 4: 15}  # of files, by version; later ones have 16
_SCOPED = 0b11  # abstract sockets and signals of processes outside: from version 6 on

# seccomp: linux/seccomp.h, linux/filter.h, linux/audit.h
_NO_NEW_PRIVS, _SET_FILTER, _ALL_THREADS = 38, 1, 1
_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_NUMBER, _ARCHITECTURE, _FIRST_ARGUMENT = 0, 4, 16  # where these stand in what a filter sees
_KILL, _FAIL, _ALLOW = 0x80000000, 0x00050000, 0x7FFF0000
_EPERM, _ENOSYS, _THREAD = 1, 38, 0x00010000
_X32 = 0x40000000  # calls of a second kind on the same machine
# the machine's number, and of the calls: seccomp, clone, clone3
_MACHINES = {
    "x86_64": (0xC000003E, 317, 56, 435),
    "aarch64": (0xC00000B7, 277, 220, 435),
}
# execve, execveat, ptrace, process_vm_readv, process_vm_writev, kill, mount, umount2, pivot_root,
# chroot, unshare, setns, bpf, perf_event_open, keyctl, add_key, request_key, init_module,
# finit_module, kexec_load; on x86_64 fork and vfork, too
_FORBIDDEN = {
    "x86_64": (59, 322, 101, 310, 311, 62, 165, 166, 155, 161, 272, 308, 321, 298, 250, 248, 249,
               175, 313, 246, 57, 58),
    "aarch64": (221, 281, 117, 270, 271, 129, 40, 39, 41, 51, 97, 268, 280, 241, 219, 217, 218,
                105, 273, 104),
}  # fmt: skip
# pidfd_send_signal, io_uring_setup, open_tree, move_mount, fsopen, pidfd_getfd, process_madvise
_FORBIDDEN_EVERYWHERE = (424, 425, 428, 429, 430, 438, 440)


def limit() -> None:
    """Limit memory and files: no core file, and no file at all unless the log is one."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # one would hold pictures and keys
    # not the address space, of which each thread's heap reserves much that it never has
    cores = min(os.cpu_count() or 1, _MOST_CORES)
    _lower(resource.RLIMIT_DATA, _MEMORY + cores * _MEMORY_PER_CORE)
    with suppress(OSError):  # closed
        if not any(stat.S_ISREG(os.fstat(each).st_mode) for each in (1, 2)):
            _lower(resource.RLIMIT_FSIZE, 0)


def close_files() -> None:
    """Leave the program's and the system's files to be read, and shared memory to be written to.

    Of this thread and those that it will begin: others stay outside.
    """
    if sys.platform != "linux":
        lacking.append("Landlock")
        return
    libc = ctypes.CDLL(None)
    libc.prctl(_NO_NEW_PRIVS, 1, 0, 0, 0)
    version = libc.syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), _VERSION)
    alone = len(os.listdir("/proc/self/task")) == 1
    rights = ((1 << _RIGHTS.get(version, 16)) - 1) & ~_READ_DIR
    ruleset = struct.pack("QQQ", rights, 0, _SCOPED)[: 24 if version > 5 else 8]
    rules = libc.syscall(_CREATE_RULESET, ruleset, ctypes.c_size_t(len(ruleset)), 0)
    if version < 1 or rules < 0:
        lacking.append("Landlock")
        return
    for path in _readable():
        _allow(libc, rules, path, _READ_FILE & rights)
    for path in _WRITTEN:
        _allow(libc, rules, path, (_READ_FILE | _WRITE_FILE | _TRUNCATE) & rights)
    if libc.syscall(_RESTRICT_SELF, rules, 0) or not alone:
        lacking.append("Landlock for every thread")
    os.close(rules)


def forbid_calls() -> None:
    """Forbid all threads to begin a program or process, to look into others, to mount."""
    machine = platform.machine()
    if sys.platform != "linux" or machine not in _MACHINES:
        lacking.append("seccomp")
        return
    program = _filter(machine)
    code = ctypes.create_string_buffer(program, len(program))
    given = struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(code))
    libc = ctypes.CDLL(None)
    if libc.syscall(_MACHINES[machine][1], _SET_FILTER, _ALL_THREADS, given):
        lacking.append("seccomp")


def _lower(what: int, most: int) -> None:
    _, hard = resource.getrlimit(what)
    least = most if hard == resource.RLIM_INFINITY else min(most, hard)
    with suppress(OSError, ValueError):
        resource.setrlimit(what, (least, least))


def _readable() -> list[str]:
    """Give where programs and their libraries lie: never a home folder as a whole."""
    home = Path.home()
    code = [sys.prefix, sys.base_prefix, str(Path(__file__).parents[1]), *sys.path]
    return [*_SYSTEM, *(each for each in code if each and not home.is_relative_to(each))]


def _allow(libc: ctypes.CDLL, rules: int, path: str, rights: int) -> None:
    try:
        where = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return  # there is no such place
    rule = struct.pack("=Qi", rights, where)
    libc.syscall(_ADD_RULE, rules, _PATH_BENEATH, rule, 0)
    os.close(where)


def _filter(machine: str) -> bytes:
    """Give the program that the kernel runs for each call. A jump names how many steps to skip."""
    number, _, clone, clone3 = _MACHINES[machine]
    forbidden = (*_FORBIDDEN[machine], *_FORBIDDEN_EVERYWHERE)
    steps = [
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_EQUAL, 1, 0, number),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, _NUMBER),
    ]
    if machine == "x86_64":
        steps += [(_AT_LEAST, 0, 1, _X32), (_RETURN, 0, 0, _FAIL | _EPERM)]
    for call in forbidden:
        steps += [(_EQUAL, 0, 1, call), (_RETURN, 0, 0, _FAIL | _EPERM)]
    # its flags lie where no filter can look: the C library then takes `clone`
    steps += [(_EQUAL, 0, 1, clone3), (_RETURN, 0, 0, _FAIL | _ENOSYS)]
    steps += [
        (_EQUAL, 0, 3, clone),
        (_LOAD, 0, 0, _FIRST_ARGUMENT),
        (_ANY_BIT, 1, 0, _THREAD),
        (_RETURN, 0, 0, _FAIL | _EPERM),
        (_RETURN, 0, 0, _ALLOW),
    ]
    return b"".join(struct.pack("HBBI", *step) for step in steps)
