"""The making process: `python -I -m core.making JOB` makes the rows of a job, a JSON document.

It has the network and the key, which the window has not. It says one JSON object per line on
stdout: {"progress"} while it goes on, then {"made"} or {"error", "hint"}. Started and read by
`core.making.job`.
"""

from __future__ import annotations

import json
import signal
import sys
from typing import Any

from core import offline, reach
from core.errors import CoreError
from core.making.job import Job
from core.making.make import make
from core.making.source import open_writer
from core.redaction import cover_streams


def main(arguments: list[str]) -> int:
    """0 when rows were made, 1 when not."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # an engine ends before this process does
    cover_streams()
    reach.guard(offline.wanted)
    job = Job.model_validate_json(arguments[0])
    try:
        writer = open_writer(job.source, job.order)
        made = make(job.order, writer, lambda at: _say(progress=at.model_dump(mode="json")))
    except CoreError as error:
        _say(error=str(error), hint=error.hint)
        return 1
    _say(made=made.model_dump(mode="json"))
    return 0


def _say(**answer: Any) -> None:
    print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
