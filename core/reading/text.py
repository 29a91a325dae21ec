"""Text as numbered lines. Its encoding is recognised by marks and zero bytes, never guessed."""

from __future__ import annotations

import codecs
import io
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, TextIO

from core.errors import DataError
from core.reading import base
from core.reading.base import BadLine
from core.reading.packed import opened

LOOKED_AT = 4096
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def encoding_of(path: Path, start: bytes) -> str:
    """The encoding of a text that begins like this. Raises DataError when it is none."""
    for mark, name in _MARKS:
        if start.startswith(mark):
            return name
    if b"\0" not in start:
        return "utf-8"
    if (wide := _unmarked(start)) is not None:
        return wide
    raise DataError(
        f"{path} is not text: it holds a zero byte at position {start.index(0)}.",
        hint="Choose a text file. A table of numbers or a model is no dataset.",
    )


def _unmarked(start: bytes) -> str | None:
    """UTF-16 without a mark: every other byte of its first letters is zero."""
    head = start[:32]
    if len(head) < 4:
        return None
    even, odd = head[::2], head[1::2]
    if not any(odd) and all(even):
        return "utf-16-le"
    if not any(even) and all(odd):
        return "utf-16-be"
    return None


def numbered_lines(path: Path) -> Iterator[tuple[int, str | BadLine]]:
    """Lines with their ends; too long or undecodable ones as BadLine. Raises OSError, DataError."""
    with opened(path) as file:
        start = file.read(LOOKED_AT)
        encoding = encoding_of(path, start)
    with opened(path) as file:
        if encoding == "utf-8":
            yield from _byte_lines(file)
        else:
            text = io.TextIOWrapper(file, encoding=encoding, newline="", errors="replace")
            yield from _wide_lines(text, encoding)


def _byte_lines(file: BinaryIO) -> Iterator[tuple[int, str | BadLine]]:
    limit = base.LINE_LIMIT
    for number, raw in enumerate(iter(lambda: file.readline(limit + 1), b""), start=1):
        if len(raw) > limit and not raw.endswith(b"\n"):
            yield number, _too_long(number)
            while raw and not raw.endswith(b"\n"):
                raw = file.readline(limit)
            continue
        yield number, _decode(number, raw)


def _decode(number: int, raw: bytes) -> str | BadLine:
    if number == 1:
        raw = raw.removeprefix(codecs.BOM_UTF8)
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        return BadLine(number, error.start + 1, _not_utf8(error.start, raw[error.start]))
    return _without_nul(number, text)


def _not_utf8(place: int, byte: int) -> str:
    """Say what the byte would mean where most such files come from; nothing is replaced."""
    try:
        letter = bytes([byte]).decode("cp1252")
        old = f", it is {letter!r} in Windows-1252" if letter.isprintable() else ""
    except UnicodeDecodeError:
        old = ""
    return f"byte {place + 1} of the line (0x{byte:02X}) is not UTF-8{old}; save the file as UTF-8"


def _wide_lines(text: TextIO, encoding: str) -> Iterator[tuple[int, str | BadLine]]:
    limit = base.LINE_LIMIT
    for number, line in enumerate(iter(lambda: text.readline(limit + 1), ""), start=1):
        if len(line) > limit and not line.endswith("\n"):
            yield number, _too_long(number)
            return
        broken = line.find("\N{REPLACEMENT CHARACTER}")
        if broken >= 0:
            reason = f"not valid {encoding.upper()}; save the file as UTF-8"
            yield number, BadLine(number, broken + 1, reason)
        else:
            yield number, _without_nul(number, line)


def _without_nul(number: int, text: str) -> str | BadLine:
    place = text.find("\0")
    if place >= 0:
        return BadLine(number, place + 1, "a zero byte, which no text has")
    return text


def _too_long(number: int) -> BadLine:
    limit = base.LINE_LIMIT // 1_000_000
    return BadLine(number, 1, f"longer than {limit} MB; one row per line is needed")
