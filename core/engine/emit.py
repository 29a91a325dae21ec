"""The engine's voice: events appended to the run, whole lines, flushed at once."""

from __future__ import annotations

import importlib.metadata
import sys
import threading
import time
from dataclasses import replace

import psutil

from core import reach
from core.engine.event_log import EventLog
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
    """What the engine says, as events in the run's log."""

    def __init__(self, run: RunDir) -> None:
        self._log = EventLog(run.events_file)
        self._number = self._log.last
        self._refused = 0
        self._turn = threading.RLock()
        self.speaking = False
        """Whether a line is being written, which must not be broken off."""
        self.over = False
        """Whether the story has its ending; nothing is said after it."""

    def say(self, event: Event) -> None:
        """Append one event; what ends or saves a run is also forced to the disk.

        Whatever asked for the network since the last one is told before it, since nothing may
        follow an ending.
        """
        with self._turn:
            self.speaking = True
            try:
                self._tell_refused()
                self._append(event)
            finally:
                self.speaking = False

    def _tell_refused(self) -> None:
        for attempt in reach.attempts()[self._refused :]:
            self._refused += 1
            self._append(Warned(code="network-refused", text=f"Training has no network: {attempt}"))

    def _append(self, event: Event) -> None:
        if self.over:
            return
        self._number += 1
        line = encode(replace(event, seq=self._number, tick=time.monotonic()))
        self._log.append(line, safe=isinstance(event, Saved | Failed | Finished))
        self.over = isinstance(event, Failed | Finished)

    def say_last(self, event: Event) -> None:
        """The last word, from beside the main thread, which has no turn any more."""
        self._turn.acquire()
        self.say(event)

    def phase(self, name: PhaseName, done: int | None = None, total: int | None = None) -> None:
        """Say what is being done."""
        self.say(Phase(name=name, done=done, total=total))

    def warn(self, code: str, text: str, hint: str = "") -> None:
        """Say what the user should know."""
        self.say(Warned(code=code, text=text, hint=hint))

    def secure(self) -> None:
        """Force what was said to the disk: a checkpoint must not outlive the steps before it."""
        self._log.secure()

    def close(self) -> None:
        """Nothing more will be said."""
        self._log.close()


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
