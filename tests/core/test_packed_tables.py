"""Small tables that unpack to far more than any memory holds."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import ipc, parquet

from core.errors import DataError
from core.reading import columnar
from core.reading.base import BadLine, Line
from core.reading.ceiling import under_ceiling

resource = pytest.importorskip("resource")
TEXT, ROWS = 10_000_000, 3_000
KEPT_BY_LINUX = pytest.mark.skipif(sys.platform != "linux", reason="Linux alone keeps the limit")


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tenth of the limits is enough to see them kept."""
    monkeypatch.setattr(columnar, "MOST_BYTES", 100_000_000)
    monkeypatch.setattr(columnar, "UNPACKING", 400_000_000)


def shared(text: str) -> Any:
    """One text, which all rows point to."""
    answers = pa.DictionaryArray.from_arrays(pa.array([0] * ROWS, pa.int32()), pa.array([text]))
    return pa.table({"question": [f"No. {n}?" for n in range(ROWS)], "answer": answers})


def as_parquet(path: Path, table: Any, **options: Any) -> None:
    parquet.write_table(table, path, compression="zstd", **options)


def told(path: Path, table: Any) -> None:
    """The file says itself that rows share their texts."""
    as_parquet(path, table, dictionary_pagesize_limit=1 << 30)


def untold(path: Path, table: Any) -> None:
    """The file shares texts by itself, so the reader makes a text of each."""
    as_parquet(path, table, dictionary_pagesize_limit=1 << 30, store_schema=False)


def arrow(path: Path, table: Any) -> None:
    with ipc.new_file(path, table.schema) as file:
        file.write_table(table)


def squeezed(path: Path, table: Any) -> None:
    """One batch that is packed well."""
    batch = pa.record_batch({"answer": pa.array(["x" * TEXT] * 15)})
    with ipc.new_file(path, batch.schema, options=ipc.IpcWriteOptions(compression="zstd")) as file:
        file.write_batch(batch)


@pytest.mark.parametrize(
    ("write", "read"),
    [
        (told, columnar.parquet),
        pytest.param(untold, columnar.parquet, marks=KEPT_BY_LINUX),
        (arrow, columnar.arrow),
        (squeezed, columnar.arrow),
    ],
)
def test_a_table_made_to_fill_the_memory_is_refused(
    tmp_path: Path, write: Callable[[Path, Any], None], read: Callable[[Path], Any]
) -> None:
    path = tmp_path / "table"
    write(path, shared("x" * TEXT))
    assert path.stat().st_size < 11_000_000
    with pytest.raises(DataError, match=r"behind row 0 hold .* bytes, .* made to fill the memory"):
        for _ in read(path):
            pass


def test_one_long_row_is_a_broken_line_and_the_others_are_read(tmp_path: Path) -> None:
    path = tmp_path / "table"
    as_parquet(path, pa.table({"text": ["short", "x" * TEXT, "again"]}))
    rows = list(columnar.parquet(path))
    assert [type(row) for row in rows] == [Line, BadLine, Line]
    assert str(rows[1]) == "line 2, column 1: longer than 8 MB"


@KEPT_BY_LINUX
def test_the_ceiling_holds_and_goes() -> None:
    before = resource.getrlimit(resource.RLIMIT_DATA)
    with pytest.raises(MemoryError), under_ceiling(100_000_000):
        bytearray(200_000_000)
    assert resource.getrlimit(resource.RLIMIT_DATA) == before
    bytearray(200_000_000)


@KEPT_BY_LINUX
def test_a_lower_ceiling_stays() -> None:
    with under_ceiling(100_000_000):
        lower = resource.getrlimit(resource.RLIMIT_DATA)
    hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
    before = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (lower[0], hard))
    try:
        with under_ceiling(1_000_000_000_000):
            assert resource.getrlimit(resource.RLIMIT_DATA)[0] == lower[0]
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, before)
