"""What a terminal sees: plain words, tables, two columns, a progress bar; or one JSON document."""

from __future__ import annotations

import io
import json
import os
import shutil
import sys
import textwrap
from collections.abc import Iterable, Sequence
from typing import Any, TextIO

from core.errors import CoreError
from core.redaction import redact
from core.visible import visible


def plain(text: str) -> str:
    """Text from a file or a model; what would steer a terminal or reorder a line is shown as a
    sign of its own."""
    return visible(text.replace("\r\n", "\n"))


class Terminal:
    """Where a command speaks: sentences for people, or with `json` a single document."""

    def __init__(self, *, json: bool = False) -> None:
        self.json = json
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="backslashreplace")

    def say(self, text: str = "") -> None:
        """A sentence for people; nothing when the output is JSON."""
        if not self.json:
            write(plain(text), sys.stdout)

    def note(self, text: str) -> None:
        """A remark beside the result, on stderr."""
        write(plain(text), sys.stderr)

    def answer(self, document: Any) -> None:
        """The one JSON document; nothing when the output is for people."""
        if self.json:
            write(json.dumps(document, indent=1), sys.stdout)

    def complain(self, error: CoreError) -> None:
        """Say what went wrong and what to do next."""
        self.note(f"error: {error}")
        if error.hint:
            self.note(f"hint: {error.hint}")

    def refuse(self, error: CoreError) -> None:
        """Complain, and let the complaint be the one document when the output is JSON."""
        self.complain(error)
        self.answer({"error": str(error), "hint": error.hint})


def write(text: str, stream: TextIO) -> None:
    """Print without secrets and flush; when nobody listens any more, go on in silence."""
    try:
        print(redact(text), file=stream, flush=True)
    except BrokenPipeError:
        silence = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silence, stream.fileno())
        os.close(silence)


def table(rows: Iterable[Sequence[str]], *, indent: str = "  ") -> str:
    """Rows as aligned columns."""
    cells = [[plain(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = (
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        for row in cells
    )
    return "\n".join(indent + line.rstrip() for line in lines)


def side_by_side(left: str, right: str, titles: tuple[str, str]) -> str:
    """Two texts next to each other, wrapped to half the terminal each."""
    width = max(24, (min(shutil.get_terminal_size().columns, 120) - 7) // 2)
    columns = [
        _wrapped(title, text, width) for title, text in zip(titles, (left, right), strict=True)
    ]
    height = max(map(len, columns))
    for column in columns:
        column += [""] * (height - len(column))
    return "\n".join(f"  {a.ljust(width)} | {b}".rstrip() for a, b in zip(*columns, strict=True))


def _wrapped(title: str, text: str, width: int) -> list[str]:
    lines = plain(text).splitlines() or ["(nothing)"]
    body = [part for line in lines for part in textwrap.wrap(line, width) or [""]]
    return [title, "-" * len(title), *body]


def shorten(text: str, width: int = 100) -> str:
    """The beginning of a text on one line."""
    return textwrap.shorten(plain(text), width, placeholder=" ...")
