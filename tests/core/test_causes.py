"""How a process ends, and what is made of it."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

import pytest

from core import causes
from core.causes import ATTEMPTS, memory_kills, of_end, restarts, said

POSIX = pytest.mark.skipif(sys.platform == "win32", reason="signals of Linux and macOS")


@pytest.mark.parametrize(
    ("text", "code", "again"),
    [
        ("AcceleratorError: CUDA error: unspecified launch failure", "gpu-lost", True),
        ("RuntimeError: CUDA error: an illegal memory access was encountered", "gpu-lost", True),
        ("NVML: GPU is lost", "gpu-lost", True),
        ("OutOfMemoryError: CUDA out of memory. Tried to allocate 2 GiB", "gpu-memory", False),
        ("RuntimeError: CUDA error: CUBLAS_STATUS_ALLOC_FAILED", "gpu-memory", False),
        ("AcceleratorError: CUDA error: device-side assert triggered", "gpu-assert", False),
        ("RuntimeError: CUDA error: no kernel image is available", "gpu-too-old", False),
        (
            "RuntimeError: DataLoader worker (pid 71) is killed by signal: Killed.",
            "worker-killed",
            True,
        ),
        (
            "RuntimeError: DataLoader worker (pid(s) 71) exited unexpectedly",
            "worker-killed",
            True,
        ),
        ("OSError: [Errno 28] No space left on device", "disk-full", False),
        ("ModuleNotFoundError: No module named 'torch'", "broken-library", False),
        ("ImportError: DLL load failed while importing _C", "broken-library", False),
        ("PanicException: called `Result::unwrap()` on an `Err` value", "tokenizer-panic", False),
        ("RuntimeError: DefaultCPUAllocator: can't allocate memory", "memory", False),
        ("MemoryError: ", "memory", False),
    ],
)
def test_what_libraries_say(text: str, code: str, again: bool) -> None:
    cause = said(text)
    assert cause
    assert cause.code == code
    assert cause.text
    assert cause.hint
    assert cause.again is again
    assert restarts(code, 0) is again


def test_new_errors_are_not_guessed() -> None:
    assert said("ValueError: expected 3 columns") is None
    assert not restarts("diverged", 0), "numbers are never tried again"
    assert not restarts("", 0)
    assert not restarts("gpu-lost", ATTEMPTS), "three times are enough"


@POSIX
def test_signals() -> None:
    killed = -signal.SIGKILL
    assert of_end(killed, "", ran_out=True) == causes.HOST_MEMORY
    assert of_end(killed, "", ran_out=False) == causes.KILLED
    crash = of_end(-signal.SIGSEGV, "", ran_out=False)
    assert (crash.code, crash.again) == ("crashed", True)
    assert "SIGSEGV" in crash.text
    assert of_end(-signal.SIGABRT, "CUDA error: unspecified launch failure", ran_out=False) == (
        causes.GPU_LOST
    )
    assert of_end(-signal.SIGILL, "", ran_out=False).code == "wrong-processor"
    assert "SIGHUP" in of_end(-signal.SIGHUP, "", ran_out=False).text


def test_ends_without_a_signal() -> None:
    assert of_end(0xC0000005, "", ran_out=False).text.endswith("(access violation).")
    assert of_end(1, "OSError: [Errno 28] No space left on device", ran_out=False).code == (
        "disk-full"
    )
    assert of_end(1, "", ran_out=False) == causes.SILENT
    assert of_end(0, "", ran_out=False) == causes.UNKNOWN
    assert of_end(None, "", ran_out=False) == causes.UNKNOWN


def test_kills_for_memory_are_counted_where_the_system_counts_them(tmp_path: Path) -> None:
    counts = tmp_path / "vmstat"
    counts.write_text("nr_free_pages 12\noom_kill 3\nunused 0\n", encoding="ascii")
    assert memory_kills(counts) == 3
    counts.write_text("nr_free_pages 12\n", encoding="ascii")
    assert memory_kills(counts) == 0
    assert memory_kills(tmp_path / "absent") == 0
