"""Rows of every kind of file we open, each with its line number. Strict, streamed and bounded.

Nothing is guessed: text that is not valid, lines that do not parse and rows with a wrong number of
cells come out as `BadLine` and are named by whoever reads on. Each container has a file of its own.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

from core.durable import digest
from core.errors import DataError
from core.reading.base import BadLine, Line, Read, bounded, unreadable
from core.reading.columnar import arrow, parquet
from core.reading.folder import PROSE, files_of
from core.reading.json_rows import json_lines, json_whole
from core.reading.llama_factory import find_entry, is_list
from core.reading.packed import kind_of, opened, packing_of
from core.reading.prose import read_prose
from core.reading.table import read_table
from core.reading.text import LOOKED_AT, encoding_of
from core.reading.workbook import read_workbook

__all__ = ["KINDS", "STREAMED", "BadLine", "Line", "digest_of", "kind_of", "read_rows"]

_TEXTS: dict[str, Callable[[Path], Read]] = {
    ".jsonl": json_lines,
    ".ndjson": json_lines,
    ".json": json_whole,
    ".csv": read_table,
    ".tsv": read_table,
    **dict.fromkeys(PROSE, read_prose),
}
_BINARIES: dict[str, tuple[Callable[[Path], Read], tuple[bytes, ...], str]] = {
    ".parquet": (parquet, (b"PAR1",), "a Parquet table"),
    ".arrow": (arrow, (b"ARROW1", b"\xff\xff\xff\xff"), "an Arrow table"),
    ".xlsx": (read_workbook, (b"PK\x03\x04",), "an Excel workbook"),
}
KINDS = (*_TEXTS, *_BINARIES)
"""Endings of files that are read, the last one but `.gz` and `.zst`."""
STREAMED = frozenset({".jsonl", ".ndjson", ".csv", ".tsv", ".parquet", ".arrow"})
"""Kinds whose first rows are there before the rest is read."""
_SUPPORTED = f"Supported are {', '.join(KINDS)}, also packed as .gz or .zst."
_FOREIGN = (
    (b"PK\x03\x04", "a zip archive", "Unpack it first."),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive", "Unpack it first."),
    (b"Rar!", "a rar archive", "Unpack it first."),
    (b"\xfd7zXZ", "an xz archive", "Unpack it first."),
    (b"BZh", "a bzip2 archive", "Unpack it first."),
    (b"\x93NUMPY", "an array of numpy", "Save the rows as .jsonl or .parquet."),
    (b"\x89HDF", "an HDF5 file", "Save the rows as .jsonl or .parquet."),
    (b"SQLite format 3", "a database", "Save the rows as .jsonl or .csv."),
    *((b"\x80" + bytes([protocol]), "a pickle, a program that runs with all your rights when it is "
       "opened", "Ask its maker for .jsonl, .csv or .parquet.") for protocol in range(2, 6)),
    (b"version https://git-lfs", "a pointer to a file that was not downloaded",
     "Download the file itself (git lfs pull)."),
    (b"<!DOCTYPE", "a web page", "Download the file itself, not the page about it."),
    (b"<html", "a web page", "Download the file itself, not the page about it."),
)  # fmt: skip


def read_rows(path: Path) -> Read:
    """Every row of a file or folder, and every place where a row should be. Raises DataError."""
    try:
        if is_list(path) and not path.is_dir():
            entry = find_entry(path)
            yield from map(entry.rename, read_rows(entry.path))
        elif path.is_dir():
            yield from map(bounded, _folder(path))
        else:
            yield from map(bounded, _reader(path)(path))
    except OSError as error:
        raise unreadable(path, error) from error


def digest_of(path: Path) -> str:
    """SHA-256 of a file; of a folder or list, of the names and sums of the files in it.

    Raises DataError.
    """
    try:
        return _digest_of(path)
    except OSError as error:
        raise unreadable(path, error) from error


def _digest_of(path: Path) -> str:
    if is_list(path) and not path.is_dir():
        path = find_entry(path).path
    if not path.is_dir():
        return digest(path)
    listed = hashlib.sha256()
    for file in files_of(path, KINDS):
        listed.update(f"{file.relative_to(path).as_posix()}\0{digest(file)}\n".encode())
    return listed.hexdigest()


def _folder(folder: Path) -> Read:
    """The rows of all files; lines are counted on from file to file, faults name their file."""
    before = 0
    for file in files_of(folder, KINDS):
        name, last = file.relative_to(folder).as_posix(), 0
        for line in _reader(file)(file):
            last = line.number
            if isinstance(line, BadLine):
                yield line._replace(file=name)
            else:
                yield line._replace(number=before + line.number)
        before += last


def _reader(path: Path) -> Callable[[Path], Read]:
    """How this file is read; everything that is not one of our kinds is refused by name."""
    if not path.exists():
        raise DataError(f"There is no file {path}.", hint="Check the spelling.")
    if not path.is_file():  # reading a pipe or a device may never end
        raise DataError(f"{path} is no regular file.", hint="Save the rows in a file first.")
    packing = packing_of(path)
    with opened(path) as file:
        start = file.read(LOOKED_AT)
    kind = kind_of(path)
    if kind in _BINARIES:
        if packing:
            raise DataError(f"{path} is {packing.name}.", hint="Unpack it first.")
        return _binary(path, kind, start)
    if not start.strip():
        raise DataError(f"{path} is empty.", hint="Choose a file with rows in it.")
    _refuse_foreign(path, start)
    if kind not in _TEXTS:
        named = f"a {kind} file" if kind else "a file without an ending"
        raise DataError(f"{path} is {named}, which cannot be read as rows.", hint=_SUPPORTED)
    encoding_of(path, start)
    return _TEXTS[kind]


def _binary(path: Path, kind: str, start: bytes) -> Callable[[Path], Read]:
    read, magic, name = _BINARIES[kind]
    if not start:
        raise DataError(f"{path} is empty.", hint="Choose a file with rows in it.")
    if not start.startswith(magic):
        _refuse_foreign(path, start)
        raise DataError(f"{path} is not {name}.", hint="Give the file the ending that it deserves.")
    return read


def _refuse_foreign(path: Path, start: bytes) -> None:
    for kind, (_, magic, name) in _BINARIES.items():
        if kind != ".xlsx" and start.startswith(magic):
            raise DataError(f"{path} is {name}.", hint=f"Give the file the ending {kind}.")
    for mark, what, hint in _FOREIGN:
        if start.startswith(mark):
            raise DataError(f"{path} is {what}.", hint=hint)
