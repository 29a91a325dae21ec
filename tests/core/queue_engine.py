"""Says and obeys what an engine does, without training; the name of its recipe says how it goes.

`long` steps until it is stopped, `asks` pauses until it is stopped, `fails` fails, `dies` ends
without a word each time, `falters` only the first time; all others finish after a few steps.
Nothing of the program is imported, which would take longer than all that is tested with it.
"""

from __future__ import annotations

import json
import os
import re
import sys
import time
from pathlib import Path

from filelock import FileLock

STEPS = 3


def main(root: Path) -> None:
    with FileLock(root / "lock", timeout=2):
        again = "started" in (root / "events.jsonl").read_text(encoding="utf-8")
        named = re.search(r"^name: (\w+)$", (root / "recipe.yaml").read_text("utf-8"), re.M)
        _say(root, "started", pid=os.getpid())
        _go(root, named[1] if named else "", again=again)


def _go(root: Path, name: str, *, again: bool) -> None:
    step = 0
    while step < STEPS or (name == "long" and not _told_to_stop(root)):
        step += 1
        _say(root, "step", step=step, total=STEPS, loss=1.0)
        time.sleep(0.02)
    if name == "asks":
        _say(root, "paused", step=step, reason="The loss rises.", hint="Look at it.")
        while not _told_to_stop(root):
            time.sleep(0.02)
    if name == "dies" or (name == "falters" and not again):
        os._exit(0)
    if name == "fails":
        _say(root, "failed", error="The disk is full.", hint="Free some space.", code="disk-full")
    else:
        _say(root, "finished", step=step, stopped=name in ("long", "asks"))


def _told_to_stop(root: Path) -> bool:
    return bool(json.loads((root / "control").read_bytes())["command"] == "stop")


def _say(root: Path, kind: str, **said: object) -> None:
    with (root / "events.jsonl").open("ab") as file:
        file.write(json.dumps({"kind": kind, "t": time.time()} | said).encode() + b"\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
