"""Which step answers for what, and how each step stands."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from core import keeper
from core.errors import CoreError, Problem
from core.history import Outcome
from gui.pages.base import Page
from gui.step_list import Mark

Standing = tuple[Mark, str]
"""A mark and the sentence that explains it."""
_RUN_MARKS: dict[str, Mark] = {
    "waiting": "busy",
    "running": "busy",
    "paused": "busy",
    "finished": "done",
    "failed": "blocker",
    "stopped": "warning",
    "interrupted": "warning",
}


def answering(where: str, classes: Mapping[str, type[Page]]) -> str | None:
    """The title of the page whose path is the longest beginning of `where`."""
    fitting = [
        (len(path), title)
        for title, kind in classes.items()
        for path in kind.paths
        if where == path or where.startswith(f"{path}.")
    ]
    return max(fitting, default=(0, None))[1]


def problem_marks(
    problems: Iterable[Problem], classes: Mapping[str, type[Page]]
) -> dict[str, Standing]:
    """The first problem of each page, given the worst first; tips mark nothing."""
    worst: dict[str, Standing] = {}
    for problem in problems:
        title = answering(problem.where, classes)
        if title and problem.level != "tip":
            worst.setdefault(title, (problem.level, problem.text))
    return worst


def run_mark(outcome: Outcome) -> Standing:
    """How the Run step stands."""
    return _RUN_MARKS[outcome.state], str(outcome)


def queue_mark(found: keeper.Standing, trouble: CoreError | None) -> Standing:
    """How the Queue step stands."""
    if trouble is not None:
        return "blocker", str(trouble)
    if found.kind == "help":
        return "warning", found.text
    if found.at_work or found.entry is not None:
        return "busy", found.text
    return "open", f"{len(found.queue.waiting)} in line" if found.queue.waiting else ""
