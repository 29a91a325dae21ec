"""The same rows in every container that is read, written by the libraries people use."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import openpyxl
import pyarrow
import zstandard
from pyarrow import ipc, parquet

Rows = Sequence[dict[str, Any]]


def jsonl(rows: Rows) -> bytes:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()


def as_json(rows: Rows) -> bytes:
    return json.dumps(list(rows), indent=1).encode()


def delimited(rows: Rows, delimiter: str) -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), delimiter=delimiter)
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def as_parquet(rows: Rows) -> bytes:
    sink = io.BytesIO()
    parquet.write_table(pyarrow.Table.from_pylist(list(rows)), sink, row_group_size=2)
    return sink.getvalue()


def arrow(rows: Rows, *, stream: bool) -> bytes:
    table, sink = pyarrow.Table.from_pylist(list(rows)), io.BytesIO()
    opener = ipc.new_stream if stream else ipc.new_file
    with opener(sink, table.schema) as writer:
        writer.write_table(table, max_chunksize=2)
    return sink.getvalue()


def workbook(rows: Rows) -> bytes:
    book, sink = openpyxl.Workbook(), io.BytesIO()
    sheet = book.active
    assert sheet is not None
    sheet.append(list(rows[0]))
    for row in rows:
        sheet.append(list(row.values()))
    book.save(sink)
    return sink.getvalue()


CONTAINERS: dict[str, Callable[[Rows], bytes]] = {
    "x.jsonl": jsonl,
    "x.ndjson": jsonl,
    "x.json": as_json,
    "x.csv": lambda rows: delimited(rows, ","),
    "x.tsv": lambda rows: delimited(rows, "\t"),
    "x.parquet": as_parquet,
    "file.arrow": lambda rows: arrow(rows, stream=False),
    "stream.arrow": lambda rows: arrow(rows, stream=True),
    "x.xlsx": workbook,
    "x.jsonl.gz": lambda rows: gzip.compress(jsonl(rows), mtime=0),
    "x.jsonl.zst": lambda rows: zstandard.compress(jsonl(rows)),
    "x.csv.gz": lambda rows: gzip.compress(delimited(rows, ","), mtime=0),
    "x.json.zst": lambda rows: zstandard.compress(as_json(rows)),
}
"""A file name and what writes it; every one holds the same rows of texts."""


def write(folder: Path, name: str, rows: Rows) -> Path:
    path = folder / name
    path.write_bytes(CONTAINERS[name](rows))
    return path
