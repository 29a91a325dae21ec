"""Put the computer to sleep, or shut it down, with the system's own programs."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Sequence
from typing import Literal

from core.errors import HardwareError

Action = Literal["sleep", "shutdown"]
PATIENCE = 60.0
"""Seconds that the system may take to answer."""
COUNTDOWN = 60
"""Seconds in which a person can still say no."""
SENTENCES: dict[Action, str] = {
    "sleep": "The computer goes to sleep",
    "shutdown": "The computer is shut down",
}
_FAILED = {"sleep": "put to sleep", "shutdown": "shut down"}
_SLEEP_ON_WINDOWS = (
    "Add-Type -AssemblyName System.Windows.Forms; if (-not "
    "[System.Windows.Forms.Application]::SetSuspendState('Suspend', $false, $false)) { exit 1 }"
)
_COMMANDS: dict[tuple[str, Action], tuple[tuple[str, ...], ...]] = {
    ("linux", "sleep"): (("systemctl", "suspend", "--no-ask-password"), ("loginctl", "suspend")),
    ("linux", "shutdown"): (
        ("systemctl", "poweroff", "--no-ask-password"),
        ("loginctl", "poweroff"),
        ("shutdown", "-h", "now"),
    ),
    ("darwin", "sleep"): (("pmset", "sleepnow"),),
    ("darwin", "shutdown"): (
        ("osascript", "-e", 'tell application "System Events" to shut down'),
    ),
    ("win32", "sleep"): (("powershell", "-NoProfile", "-Command", _SLEEP_ON_WINDOWS),),
    ("win32", "shutdown"): (("shutdown", "/s", "/t", "0"),),
}  # fmt: skip
"""For each system; the first that is there. One that refuses is not gone round: somebody else may
need the computer. None asks for a password, since nobody is there."""


def perform(action: Action, platform: str = sys.platform) -> None:
    """Ask the system to do it. Raises HardwareError with its words when it does not."""
    found = (
        [program, *command[1:]]
        for command in _COMMANDS.get((platform, action), ())
        if (program := shutil.which(command[0]))
    )
    command = next(found, None)
    refusal = _ask(command) if command else "no program for it was found on this system"
    if not refusal:
        return
    raise HardwareError(
        f"The computer could not be {_FAILED[action]}: {refusal.rstrip('.')}.",
        hint="The queue is done all the same. Look whether your account may do this.",
    )


def _ask(command: Sequence[str]) -> str:
    """What a program refuses with; empty when it did its work."""
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=PATIENCE, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    if done.returncode == 0:
        return ""
    said = (done.stderr or done.stdout).decode(errors="replace").split("\n")[0].strip()
    return said or f"status {done.returncode}"
