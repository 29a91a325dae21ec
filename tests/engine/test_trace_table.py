"""The table that the closed form is judged by is what the tracer says today."""

from __future__ import annotations

import pytest

from core.engine.trace import trace
from tests.core.memory_rows import Row, configuration, traced

pytestmark = [pytest.mark.engine, pytest.mark.filterwarnings("default")]
SMALL = [row for row in traced() if row.name.startswith("qwen2.5-0.5b ")]


@pytest.mark.parametrize(
    "row",
    [
        pytest.param(row, marks=pytest.mark.slow if number % 15 else (), id=row.name)
        for number, row in enumerate(SMALL)
    ],
)
def test_a_row_of_the_table_is_a_trace(row: Row) -> None:
    shape = row.name.split(" ")[0]
    found = trace(configuration(shape), row.adaptation, row.setup)
    assert found.allocated_bytes == row.allocated
    assert found.expandable_bytes == row.reserved
