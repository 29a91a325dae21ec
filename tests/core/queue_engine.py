"""Says and obeys what an engine does, without training; the name of its recipe says how it goes.

`long` steps until it is stopped, `asks` pauses until it is stopped, `fails` fails, `dies` ends
without a word each time, `falters` only the first time; all others finish after a few steps.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from core.events import Event, Failed, Finished, Paused, Started, Step, encode
from core.rundir import RunDir

STEPS = 3


def main(root: str) -> None:
    run = RunDir.open(Path(root))
    with run.hold(2):
        again = run.history().started is not None
        _say(run, Started(pid=os.getpid()))
        _go(run, run.load_recipe().name, again=again)


def _go(run: RunDir, name: str, *, again: bool) -> None:
    step = 0
    while step < STEPS or (name == "long" and run.control().command != "stop"):
        step += 1
        _say(run, Step(step=step, total=STEPS, loss=1.0))
        time.sleep(0.02)
    if name == "asks":
        _say(run, Paused(step=step, reason="The loss rises.", hint="Look at it."))
        while run.control().command != "stop":
            time.sleep(0.02)
    if name == "dies" or (name == "falters" and not again):
        os._exit(0)
    if name == "fails":
        _say(run, Failed(error="The disk is full.", hint="Free some space.", code="disk-full"))
    else:
        _say(run, Finished(step=step, stopped=name in ("long", "asks")))


def _say(run: RunDir, event: Event) -> None:
    with run.events_file.open("ab") as file:
        file.write(encode(event))


if __name__ == "__main__":
    main(sys.argv[1])
