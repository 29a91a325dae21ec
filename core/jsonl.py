"""Rows written as JSON lines, so that our own strict reader takes every one of them back."""

from __future__ import annotations

import errno
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from core.durable import write_atomically
from core.errors import DataError

_HALF = re.compile("[\ud800-\udfff]")


@contextmanager
def appearing(target: Path) -> Iterator[TextIO]:
    """A file under another name until it is whole. Raises DataError when it cannot be written."""
    aside = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        with aside.open("w", encoding="utf-8", newline="\n") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        aside.replace(target)
    except OSError as error:
        raise cannot_write(target, error) from error
    finally:
        aside.unlink(missing_ok=True)


def cannot_write(target: Path, error: OSError) -> DataError:
    """The error for people."""
    full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    return DataError(
        f"Cannot write {target}: {error.strerror or error}.",
        hint="Make room on the disk, or choose another folder."
        if full
        else "Choose a folder that exists and is yours.",
    )


def write_record(target: Path, text: str) -> None:
    """Write what is told about rows beside them. Raises DataError."""
    try:
        write_atomically(target, text)
    except OSError as error:
        raise cannot_write(target, error) from error


def write_rows(target: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write rows, all or none of them."""
    with appearing(target) as file:
        for row in rows:
            file.write(row_text(row) + "\n")


def row_text(row: Mapping[str, Any]) -> str:
    """A row on one line; what JSON lacks becomes text, and a number that is none becomes null."""
    try:
        text = json.dumps(row, ensure_ascii=False, allow_nan=False, default=str)
    except ValueError:
        text = json.dumps(_numbered(row), ensure_ascii=False, default=str)
    if text.isascii() or not _HALF.search(text):
        return text
    return json.dumps(json.loads(text))  # half a character can only be written as an escape


def _numbered(value: Any) -> Any:
    if isinstance(value, float):
        return value if value - value == 0 else None  # neither infinite nor "not a number"
    if isinstance(value, Mapping):
        return {key: _numbered(held) for key, held in value.items()}
    return [_numbered(held) for held in value] if isinstance(value, list) else value


def whole_text(text: str) -> str:
    """Text that any file takes: half characters become question marks."""
    return text.encode(errors="replace").decode()
