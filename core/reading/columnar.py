"""Rows of Parquet and Arrow tables, some hundred at a time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from core.errors import DataError
from core.reading.base import Line, Read, damaged

AT_ONCE = 512
"""Rows turned into Python objects together."""
MOST_BYTES = 1_000_000_000
"""Of so many rows. A table of one megabyte can hold the same long text in every one of them."""
_MAGIC = b"ARROW1"


def parquet(path: Path) -> Read:
    """The rows of a Parquet file; a row's number is its place in the table."""
    from pyarrow.parquet import ParquetFile

    count = 0
    try:
        with ParquetFile(path, buffer_size=1 << 20, pre_buffer=False) as file:
            for batch in file.iter_batches(batch_size=AT_ONCE):
                for line in _rows(path, batch, count):
                    count = line.number
                    yield line
    except DataError:
        raise
    except Exception as error:  # the boundary of a parser that fails in any way, also for memory
        raise damaged(path, "a Parquet table", error, _behind(count)) from error


def arrow(path: Path) -> Read:
    """The rows of an Arrow file or stream, as the library `datasets` stores them."""
    count = 0
    try:
        for batch in _batches(path):
            batch.validate(full=True)  # offsets of a damaged file lead out of the memory
            for start in range(0, batch.num_rows, AT_ONCE):
                for line in _rows(path, batch.slice(start, AT_ONCE), count):
                    count = line.number
                    yield line
    except DataError:
        raise
    except Exception as error:  # the boundary of a parser that fails in any way, also for memory
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


def _rows(path: Path, batch: Any, before: int) -> Iterator[Line]:
    if batch.nbytes > MOST_BYTES:
        raise DataError(
            f"{path}: {batch.num_rows:,} rows behind row {before:,} hold {batch.nbytes:,} bytes, "
            "which no texts do: it looks as if the table was made to fill the memory.",
            hint="Choose a table with shorter texts.",
        )
    for number, row in enumerate(batch.to_pylist(), start=before + 1):
        yield Line(number, row)


def _behind(count: int) -> str:
    return f" behind row {count:,}" if count else ""
