"""Who goes first on a busy processor: whoever works at the computer, not the training.

A window asks for it, so that it and all other programs stay fluent beside an engine that uses every
core; from a terminal, where the engine may be all that a computer is for, nobody does.
"""

from __future__ import annotations

import os
import sys

import psutil

ASKED = "TUNESMITH_GIVE_WAY"
"""Set for engines that should let others go first; they inherit it."""
NICENESS = 10
"""Of 19: a tenth of the processor's time beside one busy program, all of it beside none."""


def ask_engines() -> None:
    """All engines that this process starts from now on give way."""
    os.environ[ASKED] = "1"


def give_way() -> None:
    """Let all other programs go first, if that was asked for."""
    if not os.environ.get(ASKED):
        return
    process = psutil.Process()
    if sys.platform == "win32":
        process.nice(psutil.BELOW_NORMAL_PRIORITY_CLASS)
    else:
        process.nice(max(NICENESS, process.nice()))  # less patience than before is forbidden
