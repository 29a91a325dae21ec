"""What an engine process gives up before it opens a stranger's file."""

from __future__ import annotations

import ctypes
import platform
import struct
import sys
from contextlib import suppress
from typing import Any, NamedTuple

import psutil

from core.places import compiled_home

_NO_NEW_PRIVILEGES, _SET_FILTER, _FILTER = 38, 22, 2
"""Of Linux's prctl: the first is kept by whatever the process would start."""
_FORBIDDEN = {
    "x86_64": (0xC000003E, (41, 42, 49, 50, 53, 59, 101, 310, 311, 322, 425)),
    "aarch64": (0xC00000B7, (117, 198, 199, 200, 201, 203, 221, 270, 271, 281, 425)),
}
"""Numbers of the processor and of its calls for sockets, for starting a program (execve), and for
reaching into another process (ptrace, process_vm_*); io_uring could do the same by a side door."""
_UNIX, _NETLINK, _IO_URING = 1, 16, 425
_CODES = (0x20, 0x15, 0x35, 0x06)
"""Of the kernel's rules: load a number, is it equal, is it at least, end."""
_ALLOWED, _REFUSED = 0x7FFF0000, 0x00050001
"""How a rule ends: the call goes on, or fails with "operation not permitted"."""
_EVENTS = ("socket.", "subprocess.", "os.exec", "os.posix_spawn", "os.system", "os.fork", "pty.")


class Allowance(NamedTuple):
    """What a process may use from now on."""

    memory: int
    """Bytes beside what it has already."""
    seconds: int
    """Of computing."""
    file: int
    """Bytes of one file."""


def confine() -> None:
    """Leave no image of the memory behind, with rows and weights in it, when a library crashes.

    The cache of compiled programs can be read and written by its owner alone.
    """
    if sys.platform != "win32":
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with suppress(OSError):  # then nothing is kept, or the library says why it cannot
        compiled_home().mkdir(mode=0o700, parents=True, exist_ok=True)


def give_up(allowed: Allowance) -> bool:
    """Limit this process for the rest of its life; it reaches no network and starts no program.

    True when the system itself sees to that (Linux); elsewhere only Python does, which holds as
    long as no library is broken from inside.
    """
    if sys.platform != "win32":
        import resource

        used = psutil.Process().memory_info().vms
        for kind, most in (
            (resource.RLIMIT_AS, used + allowed.memory),
            (resource.RLIMIT_CPU, int(sum(psutil.Process().cpu_times()[:2])) + allowed.seconds),
            (resource.RLIMIT_FSIZE, allowed.file),
        ):
            with suppress(OSError, ValueError):  # macOS knows no limit of memory
                resource.setrlimit(kind, (most, most))
    sys.addaudithook(_refuse)
    return _close_doors()


def _refuse(event: str, _: Any) -> None:
    if event.startswith(_EVENTS):
        raise PermissionError(f"a stranger's file asks for {event}")


def no_network() -> bool:
    """Have the kernel refuse sockets that lead out of this computer, whoever in this process or
    among its children opens them; false where that is not possible.

    Left are those to programs on this computer (systemd-inhibit) and to the kernel (drivers).
    """
    number, calls = _FORBIDDEN.get(platform.machine(), (0, ()))
    if sys.platform != "linux" or not calls:
        return False
    return _have_kernel_refuse(_local_sockets_only(number, calls[0]))


def _close_doors() -> bool:
    """Have the kernel refuse the forbidden calls; false where that is not possible."""
    number, calls = _FORBIDDEN.get(platform.machine(), (0, ()))
    if sys.platform != "linux" or not calls:
        return False
    return _have_kernel_refuse(_filter(number, calls))


def _have_kernel_refuse(program: bytes) -> bool:
    held = ctypes.create_string_buffer(program)
    count = len(program) // 8
    packed = struct.pack("HxxxxxxQ", count, ctypes.addressof(held))
    prctl = ctypes.CDLL(None).prctl
    prctl.argtypes = [ctypes.c_int, *[ctypes.c_ulong] * 4]
    given = ctypes.create_string_buffer(packed)
    if prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0):
        return False
    return bool(prctl(_SET_FILTER, _FILTER, ctypes.addressof(given), 0, 0) == 0)


def _filter(processor: int, calls: tuple[int, ...]) -> bytes:
    """The rules as the kernel reads them: 16 bits of code, two jumps of 8 bits, and a number.

    Calls of another processor's kind, and those of x86's 32-bit numbers, are refused as well.
    """
    load, equal, above, end = _CODES
    count = len(calls)
    rules = [
        (load, 0, 0, 4),
        (equal, 0, count + 3, processor),
        (load, 0, 0, 0),
        (above, count + 1, 0, 0x40000000),
        *((equal, count - place, 0, call) for place, call in enumerate(calls)),
        (end, 0, 0, _ALLOWED),
        (end, 0, 0, _REFUSED),
    ]
    return _packed(rules)


def _local_sockets_only(processor: int, socket_call: int) -> bytes:
    """The rules that look at which family a new socket is of; jumps count the rules between."""
    load, equal, above, end = _CODES
    return _packed([
        (load, 0, 0, 4),
        (equal, 0, 8, processor),
        (load, 0, 0, 0),
        (above, 6, 0, 0x40000000),
        (equal, 5, 0, _IO_URING),
        (equal, 0, 3, socket_call),
        (load, 0, 0, 16),  # the first argument of the call
        (equal, 1, 0, _UNIX),
        (equal, 0, 1, _NETLINK),
        (end, 0, 0, _ALLOWED),
        (end, 0, 0, _REFUSED),
    ])  # fmt: skip


def _packed(rules: list[tuple[int, int, int, int]]) -> bytes:
    return b"".join(struct.pack("HBBI", *rule) for rule in rules)
