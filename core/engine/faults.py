"""Errors of libraries and systems in words a user can act on."""

from __future__ import annotations

import errno
import tempfile
from pathlib import Path

from core import causes
from core.causes import Cause
from core.errors import CoreError, RunError
from core.numbers import show_number
from core.room import disk_error

_NO_MEMORY = (
    "out of memory",
    "can't allocate memory",
    "not enough memory",
    "bad_alloc",
    "alloc_failed",
)
"""The words of CUDA, of torch's allocator on Linux and on Windows, and of C++."""
_PANIC = "PanicException"
"""How the library of tokenizers ends; it is no Exception, and no module exports it."""
_PANIC_HINT = (
    "A pattern in tokenizer.json takes too long. Choose another model; do not use this one unless "
    "you know who made it."
)


class Diverged(RunError):
    """Training has gone astray, and what was saved before is all that is good."""

    def __init__(self, what: str, step: int, rate: float, reason: str = "") -> None:
        super().__init__(
            reason or f"The {what} is not a finite number at step {step:,}: training has diverged.",
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
    cause = cause_of(error, place)
    return cause.text, cause.hint


def cause_of(error: BaseException, place: Path | None = None) -> Cause:
    """What happened, under a name that never changes; `place` as in `explain`."""
    kind, text = type(error).__name__, first_line(error)
    if isinstance(error, CoreError):
        return Cause(code=kind.lower(), text=str(error), hint=error.hint)
    if found := disk_error(error, place or Path(tempfile.gettempdir())):
        return Cause(code="disk", text=str(found), hint=found.hint)
    if kind == _PANIC:
        said = f"The tokenizer gave up on a text: {text}"
        return Cause(code="tokenizer-panic", text=said, hint=_PANIC_HINT)
    known = causes.said(f"{kind}: {text}")
    if known is None and out_of_memory(error):
        known = causes.said("MemoryError")
    story = "The whole story is in engine.log of the run."
    return known or Cause(code="unforeseen", text=f"{kind}: {text}"[:500], hint=story)
