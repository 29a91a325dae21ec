"""Rows of Parquet and Arrow tables, some hundred at a time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from core.errors import DataError
from core.reading.base import LINE_LIMIT, BadLine, Line, Read, damaged
from core.reading.ceiling import under_ceiling

AT_ONCE = 512
"""Rows turned into Python objects together."""
MOST_BYTES = 1_000_000_000
"""Of so many rows. A table of one megabyte can hold the same long text in every one of them."""
UNPACKING = 4 * MOST_BYTES
"""Bytes that unpacking so many rows may take."""
_TOO_LONG = f"longer than {LINE_LIMIT // 1_000_000} MB"
_MAGIC = b"ARROW1"


def parquet(path: Path) -> Read:
    """The rows of a Parquet file; a row's number is its place in the table."""
    from pyarrow.parquet import ParquetFile

    count = 0
    try:
        with ParquetFile(path, buffer_size=1 << 20, pre_buffer=False) as file:
            for batch in _unpacked(file.iter_batches(batch_size=AT_ONCE)):
                for line in _rows(path, batch, count):
                    count = line.number
                    yield line
    except DataError:
        raise
    except MemoryError as error:
        raise _endless(path, count, f"more than {UNPACKING:,}") from error
    except Exception as error:  # the boundary of a parser that fails in any way
        raise damaged(path, "a Parquet table", error, _behind(count)) from error


def arrow(path: Path) -> Read:
    """The rows of an Arrow file or stream, as the library `datasets` stores them."""
    count = 0
    try:
        for batch in _unpacked(_batches(path)):
            batch.validate(full=True)  # offsets of a damaged file lead out of the memory
            for start in range(0, batch.num_rows, AT_ONCE):
                for line in _rows(path, batch.slice(start, AT_ONCE), count):
                    count = line.number
                    yield line
    except DataError:
        raise
    except MemoryError as error:
        raise _endless(path, count, f"more than {UNPACKING:,}") from error
    except Exception as error:  # the boundary of a parser that fails in any way
        raise damaged(path, "an Arrow table", error, _behind(count)) from error


def _batches(path: Path) -> Iterator[Any]:
    """Record batches one by one; the file is read, not mapped, so that nobody can pull it away."""
    from pyarrow import ipc

    with path.open("rb") as file:
        if file.read(len(_MAGIC)) == _MAGIC:
            with ipc.open_file(file) as table:
                yield from (table.get_batch(i) for i in range(table.num_record_batches))
            return
        file.seek(0)
        with ipc.open_stream(file) as stream:
            yield from stream


def _unpacked(batches: Iterator[Any]) -> Iterator[Any]:
    while True:
        with under_ceiling(UNPACKING):
            batch = next(batches, None)
        if batch is None:
            return
        yield batch


def _endless(path: Path, before: int, size: str) -> DataError:
    return DataError(
        f"{path}: the rows behind row {before:,} hold {size} bytes, which no texts do: it looks as "
        "if the table was made to fill the memory.",
        hint="Choose a table with shorter texts.",
    )


def _rows(path: Path, batch: Any, before: int) -> Iterator[Line | BadLine]:
    """Few at once where they are long: texts that rows share in the table are unpacked for each."""
    if batch.nbytes > MOST_BYTES:
        raise _endless(path, before, f"{batch.nbytes:,}")
    step, unpacked = min(AT_ONCE, MOST_BYTES // max(1, batch.nbytes)), 0
    for start in range(0, batch.num_rows, step):
        with under_ceiling(UNPACKING):
            rows = batch.slice(start, step).to_pylist()
        for number, row in enumerate(rows, start=before + start + 1):
            size = _characters(row) if step < AT_ONCE else 0
            unpacked += size
            if unpacked > MOST_BYTES:
                raise _endless(path, before, f"more than {MOST_BYTES:,}")
            yield BadLine(number, 1, _TOO_LONG) if size > LINE_LIMIT else Line(number, row)


def _characters(value: Any) -> int:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        return sum(map(_characters, value))
    return len(value) if isinstance(value, str | bytes) else 0


def _behind(count: int) -> str:
    return f" behind row {count:,}" if count else ""
