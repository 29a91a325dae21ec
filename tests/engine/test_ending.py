"""An engine whose work is done is gone, with its words said and its children taken along."""

from __future__ import annotations

import subprocess
import sys

import psutil

PROGRAM = """
import subprocess, sys
from core.engine.ending import leave
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print(child.pid)
print("the last word", file=sys.stderr)
leave(7)
"""


def test_leaving_says_everything_and_takes_children_along() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (7, "the last word\n")
    try:
        left = psutil.Process(int(done.stdout))
        assert left.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        pass
