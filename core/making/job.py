"""Rows made by a child process, for the window: this side has no network and loads no model.

making = Making(job, key)                 # starts at once
for progress in making.progress():        # blocks between lines: run it in a worker thread
    show(progress)                        # raises CoreError at the end when it failed
making.made                               # what came of it, None when it was cancelled
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import closing

from core.child import Child
from core.errors import CoreError, RunError
from core.making.keys import KEYS
from core.making.order import Made, Order, Progress
from core.making.source import Source
from core.offline import SILENCE
from core.redaction import SERVER_SECRETS, learn, without_secrets
from core.value import Value


class Job(Value):
    """An order, and who writes."""

    order: Order
    source: Source


class Making:
    """Rows that are being made. What is there when it is cancelled or lost is gone on with."""

    def __init__(self, job: Job, key: str = "") -> None:
        self.made: Made | None = None
        """What came of it, once all is done."""
        command = [sys.executable, "-I", "-X", "utf8", "-m", "core.making", job.model_dump_json()]
        environment = without_secrets(dict(os.environ), *SERVER_SECRETS) | SILENCE
        self._child = Child(command, environment | ({KEYS[0]: learn(key)} if key else {}))

    def progress(self) -> Iterator[Progress]:
        """Progress until the end; ends quietly when cancelled. Raises CoreError on failure."""
        with closing(self._child.said()) as said:
            for answer in said:
                if "error" in answer and not self._child.cancelled:
                    raise CoreError(str(answer["error"]), hint=str(answer.get("hint", "")))
                if "made" in answer:
                    self.made = Made.model_validate(answer["made"])
                elif "progress" in answer:
                    yield Progress.model_validate(answer["progress"])
        if self.made is None and not self._child.cancelled:
            raise RunError("The making process ended unexpectedly.", hint=self._child.complaint)

    def cancel(self) -> None:
        """End the work; safe from any thread and at any time."""
        self._child.cancel()
