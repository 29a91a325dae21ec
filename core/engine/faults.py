"""Errors of libraries and systems in words a user can act on."""

from __future__ import annotations

import errno

from core import causes
from core.causes import Cause
from core.errors import CoreError, RunError
from core.numbers import show_number

_NO_MEMORY = (
    "out of memory",
    "can't allocate memory",
    "not enough memory",
    "bad_alloc",
    "alloc_failed",
)
"""The words of CUDA, of torch's allocator on Linux and on Windows, and of C++."""
_DISK = {
    errno.ENOSPC: ("The disk is full.", "Free some space, then resume: nothing saved was harmed."),
    errno.EDQUOT: ("Your disk quota is used up.", "Free some space, then resume."),
    errno.EROFS: ("The run's folder became read-only.", "Check the disk, then resume."),
    errno.EACCES: ("A file of the run may not be written.", "Check its permissions, then resume."),
}


class Diverged(RunError):
    """Training has gone astray, and what was saved before is all that is good."""

    def __init__(self, what: str, step: int, rate: float, reason: str = "") -> None:
        super().__init__(
            reason or f"The {what} is not a finite number at step {step:,}: training has diverged.",
            hint=f"Lower the learning rate (it was {show_number(rate)}), lengthen the warm-up, or "
            "look for broken rows. The weights up to the last checkpoint are sound.",
        )


class Stopped(Exception):
    """The user asked to stop before training had begun."""


def out_of_memory(error: BaseException) -> bool:
    """Whether this is any library's way to say that there is no memory left."""
    if isinstance(error, MemoryError) or getattr(error, "errno", None) == errno.ENOMEM:
        return True
    return any(words in _first_line(error).lower() for words in _NO_MEMORY)


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def explain(error: BaseException) -> tuple[str, str]:
    """One sentence about what happened, and one about what to do."""
    cause = cause_of(error)
    return cause.text, cause.hint


def cause_of(error: BaseException) -> Cause:
    """What happened, under a name that never changes."""
    kind, text = type(error).__name__, _first_line(error)
    if isinstance(error, CoreError):
        return Cause(code=kind.lower(), text=str(error), hint=error.hint)
    if isinstance(error, OSError) and error.errno in _DISK:
        sentence, hint = _DISK[error.errno]
        return Cause(code=f"disk-{errno.errorcode[error.errno].lower()}", text=sentence, hint=hint)
    known = causes.said(f"{kind}: {text}")
    if known is None and out_of_memory(error):
        known = causes.said("MemoryError")
    story = "The whole story is in engine.log of the run."
    return known or Cause(code="unforeseen", text=f"{kind}: {text}"[:500], hint=story)
