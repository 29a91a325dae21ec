"""Ask an engine process a question and wait for its answer. No Qt, no torch."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from core import courtesy, places
from core.draft import Settings
from core.durable import write_atomically
from core.errors import CoreError, RunError
from core.machine import read_machine
from core.memory.correction import device_name
from core.memory.measured import Measured
from core.offline import SILENCE
from core.recipe import Recipe
from core.value import Value

_KEEP = (
    "PATH", "HOME", "USERPROFILE", "SYSTEMROOT", "SYSTEMDRIVE", "WINDIR", "TEMP", "TMP", "TMPDIR",
    "APPDATA", "LOCALAPPDATA", "PROGRAMDATA", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "CUDA_PATH",
    "CUDA_HOME", "CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "HF_HOME",
    "OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE", "TUNESMITH_HOME", "USERNAME", "USER", "LOGNAME",
    courtesy.ASKED,
)  # fmt: skip
_SET = {
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_IMPLICIT_TOKEN": "1",
    "HF_TOKEN_PATH": os.devnull,
    "HF_STORED_TOKENS_PATH": os.devnull,
    "HF_DATASETS_OFFLINE": "1",
    "USE_HUB_KERNELS": "NO",
    "TRL_EXPERIMENTAL_SILENCE": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "BITSANDBYTES_NOWELCOME": "1",
    "PYTORCH_ALLOC_CONF": "expandable_segments:True",
} | SILENCE
"""The engine is offline, finds no token, asks nobody, and its own loops bring the parallelism;
memory of a card is reserved in pages that grow, so that little more is reserved than used."""
WHOLE_MEASUREMENT = 1800.0
"""Seconds: a large model is loaded once, then five steps are taken."""
_POLL = 0.2
_PROGRESS = "progress.json"
_KILLED = -9
"""How a process ends that Linux ends to save the others when memory runs out."""


class Killed(RunError):
    """The system ended an engine process from outside."""


class Rehearsal(Value):
    """Whose first steps are to be tried."""

    recipe: Recipe
    settings: Settings


def engine_command(*arguments: str, module: str = "core.engine") -> list[str]:
    """The one place that knows how an engine is started; isolated from folder and environment."""
    return [sys.executable, "-I", "-X", "utf8", "-m", module, *arguments]


def engine_environment() -> dict[str, str]:
    """Only what an engine needs: no token, no proxy, no foreign import path.

    What libraries compile lies in a cache of our own: theirs is in /tmp under a name that others
    can guess, and nobody looks whose it is.
    """
    compiled = {
        f"{library}_CACHE_DIR": str(places.compiled_home() / library.lower())
        for library in ("TORCHINDUCTOR", "TRITON")
    }
    kept = {name: os.environ[name] for name in _KEEP if name in os.environ}
    return kept | _SET | compiled


def ask(
    job: str,
    request: str,
    *rest: str,
    timeout: float,
    late: RunError,
    meanwhile: Callable[[], None] = lambda: None,
    advance: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, Any]:
    """Let an engine answer a question. Raises CoreError with its words, Killed, or `late`.

    `meanwhile` is called several times a second; what it raises ends the engine at once. `advance`
    is told how far the engine is, as far as the job tells.
    """
    with tempfile.TemporaryDirectory(prefix="tunesmith-") as folder:
        asked, reply = Path(folder) / "request", Path(folder) / "reply.json"
        asked.write_text(request, encoding="utf-8")
        command = engine_command(job, str(asked), str(reply), *rest)

        def look() -> None:
            meanwhile()
            if told := _progress(reply):
                advance(*told)

        status, said = _run(command, asked.parent, time.monotonic() + timeout, late, look)
        if not reply.is_file():
            raise _lost(job, status, said)
        answer: dict[str, Any] = json.loads(reply.read_text(encoding="utf-8"))
    if "error" in answer:
        raise CoreError(answer["error"], hint=answer.get("hint", ""))
    return answer


def tell_progress(reply: Path, done: int, total: int) -> None:
    """Called by an engine: how far it is on the way to this reply."""
    with suppress(OSError):  # Windows replaces no file that is being read; the next report will do
        write_atomically(reply.with_name(_PROGRESS), json.dumps([done, total]))


def _progress(reply: Path) -> tuple[int, int] | None:
    try:
        done, total = json.loads(reply.with_name(_PROGRESS).read_text(encoding="utf-8"))
    except OSError:
        return None
    return int(done), int(total)


def measure(
    recipe: Recipe,
    settings: Settings,
    timeout: float = WHOLE_MEASUREMENT,
    meanwhile: Callable[[], None] = lambda: None,
) -> Measured:
    """Memory and time of a run, from trial steps that leave nothing behind. Raises CoreError."""
    late = RunError(
        f"The trial steps took longer than {timeout:,.0f} seconds.",
        hint="Try a smaller model or shorter rows, or go without measuring.",
    )
    asked = Rehearsal(recipe=recipe, settings=settings).model_dump_json()
    try:
        answer = ask("measure", asked, timeout=timeout, late=late, meanwhile=meanwhile)
    except Killed as error:
        return _ended(recipe, settings, str(error))
    return Measured.model_validate(answer)


def _ended(recipe: Recipe, settings: Settings, failure: str) -> Measured:
    """The answer of a process that the system ended before it could give one."""
    machine, cuda = read_machine(), settings.device == "cuda"
    return Measured(
        fits=False,
        failure=failure,
        reached="before the trial was over",
        device=device_name(machine, cuda=cuda),
        driver=machine.driver if cuda else "",
        cuda=cuda,
        adaptation=recipe.measured_as,
        limit_bytes=machine.memory,
    )


def _run(
    command: list[str], folder: Path, deadline: float, late: RunError, meanwhile: Callable[[], None]
) -> tuple[int, bytes]:
    """Exit status and error output of a process that does not outlive this call."""
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        cwd=folder,
        env=engine_environment(),
    ) as process:
        try:
            while time.monotonic() < deadline:
                try:
                    _, said = process.communicate(timeout=_POLL)
                    return process.returncode, said
                except subprocess.TimeoutExpired:
                    meanwhile()
            raise late
        finally:
            process.kill()


def _lost(job: str, status: int, said: bytes) -> RunError:
    if status == _KILLED:
        return Killed(
            f"The system ended the {job}, most likely because the computer's memory ran out."
        )
    return RunError(f"The {job} ended unexpectedly.", hint=_end_of(said))


def _end_of(output: bytes) -> str:
    lines = output.decode(errors="replace").strip().splitlines()
    return lines[-1][:300] if lines else ""
