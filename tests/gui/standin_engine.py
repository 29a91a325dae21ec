"""Says and obeys what an engine does, without training: holds the lock, steps, stops when asked."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from core.events import Event, Finished, Saved, Started, Step, encode
from core.rundir import RunDir

TOTAL = 100_000


def main(root: str) -> None:
    run = RunDir.open(Path(root))
    with run.hold(5):
        _say(run, Started(pid=0))
        print("holding", flush=True)
        step = 0
        while run.control().command != "stop":
            step += 1
            _say(run, Step(step=step, total=TOTAL, loss=1.0))
            time.sleep(0.02)
        _say(run, Saved(step=step, path="checkpoints/none"))
        _say(run, Finished(step=step, stopped=True))


def _say(run: RunDir, event: Event) -> None:
    with run.events_file.open("ab") as file:
        file.write(encode(event))


if __name__ == "__main__":
    main(sys.argv[1])
