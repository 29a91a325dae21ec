"""Why a training process ended: from what a library said, or from how the process went.

Each cause has a name that never changes, a sentence and a remedy. Whoever started the process may
start it again by itself where another attempt can help, and nowhere else.
"""

from __future__ import annotations

import re
import signal
from pathlib import Path

from core.value import Value

ATTEMPTS = 3
"""How often a run is taken up again without being asked."""
PAUSE = 5.0
"""Seconds before a lost engine is followed by another: a driver takes a while to come back."""
VMSTAT = Path("/proc/vmstat")


class Cause(Value):
    """What happened, what to do, and whether the same may well go right the next time."""

    code: str
    text: str
    hint: str
    again: bool = False


_INSTALL = "Install the program again, in a new environment."
_GPU_MEMORY = (
    "Halve training.micro_batch and double training.accumulation: the result is the same. Then "
    "shorten training.max_length, or choose QLoRA."
)
_HOST_MEMORY = (
    "Close other programs, lower micro_batch, or choose a smaller model, shorter rows or QLoRA."
)

GPU_LOST = Cause(
    code="gpu-lost",
    text="The GPU was lost: its driver was reset, or the card no longer answers.",
    hint="If it happens again, update the driver, look at the card's temperature and power supply, "
    "and at what the system says of Xid errors.",
    again=True,
)
HOST_MEMORY = Cause(
    code="host-memory",
    text="The system ended the training process, because the computer's memory ran out.",
    hint=_HOST_MEMORY,
)
KILLED = Cause(
    code="killed",
    text="The training process was killed from outside.",
    hint="Somebody or the system did it, perhaps to free memory.",
)
CRASHED = Cause(
    code="crashed",
    text="A library of the training process crashed.",
    hint="If it happens again, update the graphics driver; the place is in what was reported.",
    again=True,
)
UNKNOWN = Cause(
    code="unknown",
    text="The training process ended without a word.",
    hint="The computer may have been switched off, or the process was killed.",
    again=True,
)
SILENT = Cause(
    code="not-started",
    text="The training process ended with an error that it could not tell.",
    hint="The end of engine.log in the run's folder names it.",
)
_SAID: tuple[tuple[str, Cause], ...] = (
    (
        r"cuda out of memory|cublas_status_alloc_failed|cuda error: out of memory|"
        r"hip out of memory",
        Cause(code="gpu-memory", text="The GPU ran out of memory.", hint=_GPU_MEMORY),
    ),
    (
        r"device-side assert|indexing\.cu",
        Cause(
            code="gpu-assert",
            text="The GPU was asked for something that is not there, most likely a token that the "
            "model does not know.",
            hint="Choose the tokenizer that belongs to the model, and look for special tokens that "
            "were added to it.",
        ),
    ),
    (
        r"unspecified launch failure|device.{0,12}lost|gpu is lost|fallen off the bus|\bxid\b|"
        r"illegal memory access|misaligned address|uncorrectable ecc|ecc error|launch timed out|"
        r"cuda error: unknown error|no cuda-capable device|cublas_status_execution_failed|"
        r"cuda driver.{0,20}shutting down|hardware stack error|illegal instruction was encountered",
        GPU_LOST,
    ),
    (
        r"no kernel image is available|driver version is insufficient|ptx was compiled",
        Cause(
            code="gpu-too-old",
            text="The GPU or its driver is too old for the libraries.",
            hint="Update the driver, or train on the processor: training.device: cpu.",
        ),
    ),
    (
        r"dataloader worker.{0,40}(killed|exited)",
        Cause(
            code="worker-killed",
            text="A process that prepares rows was killed, most likely for want of memory.",
            hint=_HOST_MEMORY,
            again=True,
        ),
    ),
    (
        r"no space left|errno 28|quota exceeded",
        Cause(
            code="disk-full",
            text="The disk is full.",
            hint="Free some space, then resume: nothing saved was harmed.",
        ),
    ),
    (
        r"modulenotfounderror|importerror|no module named|dll load failed|"
        r"cannot open shared object file|undefined symbol",
        Cause(
            code="broken-library",
            text="A library of the training process cannot be loaded.",
            hint=_INSTALL,
        ),
    ),
    (
        r"panicexception|panicked at",
        Cause(
            code="tokenizer-panic",
            text="The tokenizer broke on what it was given.",
            hint="Its rules ask for too much, or a row is extreme: look for rows far longer than "
            "the others, or choose another model.",
        ),
    ),
    (
        r"out of memory|can't allocate memory|not enough memory|bad_alloc|memoryerror|"
        r"cannot allocate memory|errno 12",
        Cause(code="memory", text="The computer ran out of memory.", hint=_HOST_MEMORY),
    ),
)  # fmt: skip
"""What libraries say in such a case, in lower case; the first that fits."""
_WINDOWS = {
    0xC0000005: "access violation",
    0xC0000374: "damaged heap",
    0xC0000409: "buffer overrun",
    0xC00000FD: "full stack",
    0xC000001D: "illegal instruction",
    0xC0000017: "no memory",
}
"""How Windows calls what Linux has signals for."""
_CRASHES = ("SIGSEGV", "SIGBUS", "SIGABRT", "SIGFPE", "SIGILL", "SIGSYS", "SIGTRAP")


def said(text: str) -> Cause | None:
    """The cause that an error's text tells; None when it is a new one."""
    low = text.lower()
    return next((cause for words, cause in _SAID if re.search(words, low)), None)


def of_end(status: int | None, log: str, *, ran_out: bool) -> Cause:
    """Why a process that said no last word is gone.

    `status` is that of `subprocess`, None when whoever asks did not start it; `log` is what it
    printed last; `ran_out` tells whether the system has killed for memory since it began.
    """
    if status is None:
        return said(log) or UNKNOWN
    name = _signal(status)
    if name == "SIGKILL":
        return HOST_MEMORY if ran_out else KILLED
    if name in _CRASHES or status in _WINDOWS:
        return _crash(name or _WINDOWS[status], log)
    if name:
        return KILLED.model_copy(update={"text": f"The training process was ended by {name}."})
    return said(log) or (SILENT if status else UNKNOWN)


def _crash(name: str, log: str) -> Cause:
    if said(log) == GPU_LOST:  # its library gives up by abort()
        return GPU_LOST
    text = f"A library of the training process crashed ({name})."
    if name in ("SIGILL", "illegal instruction"):
        hint = "The processor lacks instructions that the libraries use, or a library is damaged. "
        return Cause(code="wrong-processor", text=text, hint=hint + _INSTALL)
    return CRASHED.model_copy(update={"text": text})


def _signal(status: int) -> str:
    try:
        return signal.Signals(-status).name if status < 0 else ""
    except ValueError:
        return ""


def memory_kills(place: Path = VMSTAT) -> int:
    """How many processes Linux has killed for memory since it started; 0 where nobody counts."""
    try:
        lines = place.read_text(encoding="ascii").splitlines()
    except (OSError, ValueError):
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("oom_kill ")), 0)


_ALL = (GPU_LOST, HOST_MEMORY, KILLED, CRASHED, UNKNOWN, SILENT, *(cause for _, cause in _SAID))
AGAIN = frozenset(cause.code for cause in _ALL if cause.again)
"""Causes that may well be gone the next time: never numbers, choices or a full disk."""


def restarts(code: str, tried: int) -> bool:
    """Whether another attempt is made without asking, after so many already."""
    return tried < ATTEMPTS and code in AGAIN


def taken_up(error: str, whom: str, tried: int) -> str:
    """Why a run goes on that nobody asked to, after so many attempts already."""
    return f"{error} Taken up again by {whom}, attempt {tried + 1} of {ATTEMPTS}."
