"""The engine's voice: events appended to the run, whole lines, flushed at once."""

from __future__ import annotations

import importlib.metadata
import json
import os
import sys
import time
from typing import BinaryIO

import psutil

from core.events import Event, Failed, Finished, Memory, Phase, PhaseName, Saved, Warned, encode
from core.machine import gpu_reading
from core.rundir import RunDir

LIBRARIES = (
    "torch",
    "transformers",
    "tokenizers",
    "trl",
    "peft",
    "bitsandbytes",
    "accelerate",
    "datasets",
)


class Voice:
    """Appends to events.jsonl; cuts a torn last line that a killed engine may have left."""

    def __init__(self, run: RunDir) -> None:
        self._file: BinaryIO = run.events_file.open("r+b")
        self._number = _mend(self._file)

    def say(self, event: Event) -> None:
        """Append one event; what ends or saves a run is also forced to the disk."""
        self._number += 1
        told = {"seq": self._number, "tick": time.monotonic()}
        try:
            self._file.write(encode(event.model_copy(update=told)))
            self._file.flush()
            if isinstance(event, Saved | Failed | Finished):
                os.fsync(self._file.fileno())
        except OSError as error:
            print(f"event not written ({error}): {event.kind}", file=sys.stderr, flush=True)

    def phase(self, name: PhaseName, done: int | None = None, total: int | None = None) -> None:
        """Say what is being done."""
        self.say(Phase(name=name, done=done, total=total))

    def warn(self, code: str, text: str, hint: str = "") -> None:
        """Say what the user should know."""
        self.say(Warned(code=code, text=text, hint=hint))

    @property
    def closed(self) -> bool:
        """Whether the story has its ending."""
        return self._file.closed

    def close(self) -> None:
        """Nothing more will be said."""
        self._file.close()


def _mend(file: BinaryIO) -> int:
    """Cut what a killed engine or a power cut left unreadable at the end; returns the number of
    the last event, and leaves the file where the next one belongs."""
    end, number = _line_end(file, file.seek(0, os.SEEK_END)), 0
    while end:
        start = _line_end(file, end - 1)
        file.seek(start)
        try:
            number = int(json.loads(file.read(end - start)).get("seq", 0)) or _lines(file, end)
            break
        except (ValueError, AttributeError):
            end = start
    file.truncate(end)
    file.seek(end)
    return number


def _lines(file: BinaryIO, end: int) -> int:
    """Lines before this place: the events of old runs have no numbers."""
    file.seek(0)
    return file.read(end).count(b"\n")


def _line_end(file: BinaryIO, size: int) -> int:
    """Where the last whole line before this place ends."""
    while size:
        start = max(0, size - 65_536)
        file.seek(start)
        newline = file.read(size - start).rfind(b"\n")
        if newline >= 0:
            return start + newline + 1
        size = start
    return 0


def memory_now() -> Memory:
    """Host and, when torch runs on one, GPU memory in bytes."""
    host = {
        "host_used": psutil.Process().memory_info().rss,
        "host_total": psutil.virtual_memory().total,
    }
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_available():
        return Memory(**host)
    reading = gpu_reading()
    return Memory(
        **host,
        gpu_allocated=torch.cuda.memory_allocated(),
        gpu_reserved=torch.cuda.memory_reserved(),
        gpu_used=reading.used if reading else None,
        gpu_total=reading.total if reading else None,
        gpu_busy=reading.busy if reading else None,
    )


def versions() -> dict[str, str]:
    """Exact versions of the libraries that decide what is learned; needs no import of them."""
    found = {"python": sys.version.split()[0]}
    for name in LIBRARIES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
