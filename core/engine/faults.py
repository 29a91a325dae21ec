"""Errors of libraries and systems in words a user can act on."""

from __future__ import annotations

import errno
import tempfile
from pathlib import Path

from core.errors import CoreError, RunError
from core.numbers import show_number
from core.room import disk_error

_MEMORY_HINT = (
    "Halve training.micro_batch and double training.accumulation: the result is the same. Then "
    "shorten training.max_length, or choose QLoRA."
)
_NO_MEMORY = ("out of memory", "can't allocate memory", "not enough memory", "bad_alloc")
"""The words of CUDA, of torch's allocator on Linux and on Windows, and of C++."""


class Diverged(RunError):
    """A loss or gradient is not a number; raised before it can reach the weights."""

    def __init__(self, what: str, step: int, rate: float) -> None:
        super().__init__(
            f"The {what} is not a finite number at step {step:,}: training has diverged.",
            hint=f"Lower the learning rate (it was {show_number(rate)}), lengthen the warm-up, or "
            "look for broken rows. The weights up to the last checkpoint are sound.",
        )


class Stopped(BaseException):
    """Somebody asked to end while no steps are taken.

    Not an Exception: libraries that try things and go on would swallow it.
    """


def out_of_memory(error: BaseException) -> bool:
    """Whether this is any library's way to say that there is no memory left."""
    if isinstance(error, MemoryError) or getattr(error, "errno", None) == errno.ENOMEM:
        return True
    return any(words in first_line(error).lower() for words in _NO_MEMORY)


def first_line(error: BaseException) -> str:
    """What an error says first, at most 300 characters; its name when it says nothing."""
    return (str(error).strip() or type(error).__name__).splitlines()[0][:300]


def explain(error: BaseException, place: Path | None = None) -> tuple[str, str]:
    """One sentence about what happened, and one about what to do.

    `place` is the folder that was written to, as far as that is known.
    """
    if isinstance(error, CoreError):
        return str(error), error.hint
    text = first_line(error)
    if out_of_memory(error):
        where = "GPU" if "CUDA" in str(error) else "computer"
        return f"The {where} ran out of memory.", _MEMORY_HINT
    if found := disk_error(error, place or Path(tempfile.gettempdir())):
        return str(found), found.hint
    return f"{type(error).__name__}: {text}"[:500], "The whole story is in engine.log of the run."
