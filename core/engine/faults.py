"""Errors of libraries and systems in words a user can act on."""

from __future__ import annotations

import errno

from core.errors import CoreError, RunError
from core.numbers import show_number

_MEMORY_HINT = (
    "Halve training.micro_batch and double training.accumulation: the result is the same. Then "
    "shorten training.max_length, or choose QLoRA."
)
_NO_MEMORY = ("out of memory", "can't allocate memory", "not enough memory", "bad_alloc")
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
    if isinstance(error, CoreError):
        return str(error), error.hint
    text = _first_line(error)
    if out_of_memory(error):
        where = "GPU" if "CUDA" in str(error) else "computer"
        return f"The {where} ran out of memory.", _MEMORY_HINT
    if isinstance(error, OSError) and error.errno in _DISK:
        return _DISK[error.errno]
    return f"{type(error).__name__}: {text}"[:500], "The whole story is in engine.log of the run."
