"""Who holds a run. The lock decides whether somebody does; this file only tells who."""

from __future__ import annotations

import os
import socket
import time
from contextlib import suppress
from pathlib import Path

import psutil

from core import durable
from core.value import Value

NOBODY_KNOWN = "another engine"


class Holder(Value):
    """A process on a computer, since when; `born` tells it from a later one of the same number."""

    pid: int
    host: str
    since: float
    born: float


def sign(path: Path) -> None:
    """Write down that this process holds the run from now on, if the disk takes it."""
    pid = os.getpid()
    signed = Holder(pid=pid, host=socket.gethostname(), since=time.time(), born=_born(pid))
    with suppress(OSError):
        durable.write_atomically(path, signed.model_dump_json())


def describe(path: Path) -> str:
    """The holder in words; somebody unnamed when the file is absent or tells of a dead process."""
    try:
        signed = Holder.model_validate_json(path.read_bytes())
    except (OSError, ValueError):
        return NOBODY_KNOWN
    if signed.host == socket.gethostname() and _born(signed.pid) != signed.born:
        return NOBODY_KNOWN
    since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(signed.since))
    return f"the engine with process {signed.pid} on {signed.host}, since {since},"


def _born(pid: int) -> float:
    """When a process began; 0 when there is none of this number."""
    try:
        return psutil.Process(pid).create_time()
    except psutil.Error:
        return 0.0
