"""A process of ours that says JSON objects, one a line; what it is doing can be called off."""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Generator, Mapping
from typing import Any


class Child:
    """A running process. Whoever stops listening ends it."""

    def __init__(self, command: list[str], environment: Mapping[str, str]) -> None:
        self.cancelled = False
        self.complaint = ""
        """The last line of its error output, once it has ended."""
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the process
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env=environment,
        )

    def said(self) -> Generator[dict[str, Any], None, None]:
        """What it says, until its end; blocks between lines."""
        assert self._process.stdout is not None
        try:
            for line in self._process.stdout:
                yield decode(line)
            self._process.wait()
            self._errors.seek(0)
            self.complaint = last_line(self._errors.read())
        finally:
            self.close()

    def cancel(self) -> None:
        """End it; safe from any thread and at any time."""
        self.cancelled = True
        if self._process.poll() is None:
            self._process.terminate()

    def close(self) -> None:
        """A listener that goes away takes the work with it."""
        if self._process.poll() is None:
            self._process.terminate()
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._errors.close()


def decode(line: bytes) -> dict[str, Any]:
    """An object; empty for a line that is none."""
    try:
        answer = json.loads(line)
    except ValueError:
        return {}
    return answer if isinstance(answer, dict) else {}


def last_line(output: bytes) -> str:
    """The end of an error output, shortened."""
    lines = output.decode(errors="replace").strip().splitlines()
    return lines[-1][:200] if lines else ""
