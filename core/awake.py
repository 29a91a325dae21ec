"""The computer stays awake while a model is trained; a screen may go dark.

Where that cannot be asked for, training goes on all the same, and sleep is told as sleep.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

_CONTINUOUS, _SYSTEM_REQUIRED = 0x80000000, 0x00000001
"""Of SetThreadExecutionState: until further notice, the system is needed."""


@contextmanager
def awake(why: str) -> Iterator[None]:
    """No sleep while the block runs; however this process ends, sleep is possible again.

    What the system answers goes to the error output.
    """
    if os.name == "nt":
        with _windows():
            yield
    elif command := inhibitor(sys.platform, why, os.getpid()):
        with _held(command):
            yield
    else:
        print("this system cannot be kept from sleeping", file=sys.stderr, flush=True)
        yield


def inhibitor(platform: str, why: str, pid: int) -> list[str] | None:
    """A command that keeps the system awake until its input ends or process `pid` does.

    None where there is no such program.
    """
    name = "caffeinate" if platform == "darwin" else "systemd-inhibit"
    program = shutil.which(name)
    if program is None:
        return None
    if platform == "darwin":
        return [program, "-i", "-w", str(pid)]
    said = ["--what=sleep:idle", "--who=Tunesmith", f"--why={why}", "--mode=block"]
    return [program, *said, "cat"]


@contextmanager
def _held(command: list[str]) -> Iterator[None]:
    """The system closes the pipe to the program when this process is gone."""
    try:
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, start_new_session=True
        )
    except OSError as error:
        print(f"the system is not kept from sleeping: {error}", file=sys.stderr, flush=True)
        yield
        return
    try:
        yield
    finally:
        process.terminate()
        process.communicate()


@contextmanager
def _windows() -> Iterator[None]:
    ask = ctypes.windll.kernel32.SetThreadExecutionState  # type: ignore[attr-defined]
    ask(_CONTINUOUS | _SYSTEM_REQUIRED)
    try:
        yield
    finally:
        ask(_CONTINUOUS)
