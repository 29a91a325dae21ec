"""Who holds a run or the queue. The lock decides whether somebody does; this file tells who."""

from __future__ import annotations

import os
import socket
import time
from contextlib import suppress
from pathlib import Path

import psutil

from core import durable
from core.value import Value


class Holder(Value):
    """A process on a computer, since when; `born` tells it from a later one of the same number."""

    pid: int
    host: str
    since: float
    born: float


def sign(path: Path) -> None:
    """Write down that this process is the holder from now on, if the disk takes it."""
    pid = os.getpid()
    signed = Holder(pid=pid, host=socket.gethostname(), since=time.time(), born=_born(pid))
    with suppress(OSError):
        durable.write_atomically(path, signed.model_dump_json())


def describe(path: Path, what: str = "engine") -> str:
    """The holder in words; somebody unnamed when the file is absent or tells of a dead process."""
    unknown = f"another {what}"
    try:
        signed = Holder.model_validate_json(path.read_bytes())
    except (OSError, ValueError):
        return unknown
    if signed.host == socket.gethostname() and _born(signed.pid) != signed.born:
        return unknown
    since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(signed.since))
    return f"the {what} with process {signed.pid} on {signed.host}, since {since},"


def _born(pid: int) -> float:
    """When a process began; 0 when there is none of this number."""
    try:
        return psutil.Process(pid).create_time()
    except psutil.Error:
        return 0.0
