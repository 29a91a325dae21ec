"""An engine that is lost so many times: `losing_engine.py RUN LOSSES CODE [BECAUSE]`.

One step in each life; the last life finishes the run.
"""

from __future__ import annotations

import sys
from pathlib import Path

from core.events import Event, Failed, Finished, Started, Step, Warned, encode
from core.rundir import RunDir


def main(root: str, losses: str, code: str, because: str = "") -> None:
    run = RunDir.open(Path(root))
    with run.hold(5):
        before = sum(event.kind == "started" for event in run.events())
        told: list[Event] = [Started(pid=1, resumed=before or None)]
        told += [Warned(code="taken-up-again", text=because)] if because else []
        told.append(Step(step=before + 1, total=99, loss=1.0))
        if before < int(losses):
            told.append(Failed(error="The GPU was lost.", hint="Look at it.", code=code))
        else:
            told.append(Finished(step=before + 1))
        with run.events_file.open("ab") as file:
            file.writelines(map(encode, told))


if __name__ == "__main__":
    main(*sys.argv[1:])
