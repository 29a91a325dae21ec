"""The measuring harness, proved without a GPU."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

import pytest

from core.engine.trace import trace
from core.models import look
from tests.bench import memory_case, memory_matrix

pytestmark = [pytest.mark.engine, pytest.mark.filterwarnings("default")]


def test_the_matrix_spans_what_people_train() -> None:
    cases = memory_matrix.matrix()
    assert len(set(cases)) == len(cases) >= 60
    assert len({case.shape for case in cases}) >= 8
    assert {case.method for case in cases} == {"lora", "qlora", "full"}
    assert {case.length for case in cases} >= {512, 1024, 2048, 4096, 8192}
    assert {case.rows for case in cases} == {1, 2, 4, 8}
    assert {case.optimizer for case in cases} == set(memory_case.OPTIMIZERS)
    assert {case.attention for case in cases} >= {"sdpa", "flash"}
    assert {case.checkpointing for case in cases} == {True, False}
    for case in cases:
        assert memory_matrix.setup_of(case, "cuda").rows == case.rows
        assert memory_matrix.configuration(case.shape)["num_hidden_layers"] >= 16


def test_a_tiny_case_is_measured_as_it_is_predicted(tmp_path: Path) -> None:
    case = memory_matrix.tiny_matrix()[0]
    model = tmp_path / "model"
    memory_matrix.make_model(model, case.shape)
    assert look(model).layers == 2
    found = memory_case.measure(case, "cpu", model, tmp_path / "work")
    assert found["outcome"] == "ok"
    assert found["allocated"] == found["backward"]
    setup = memory_matrix.setup_of(case, "cpu")
    config = json.loads((model / "config.json").read_text(encoding="utf-8"))
    expected = trace(config, memory_matrix.adaptation_of(case), setup).tensor_bytes
    assert found["allocated"] == pytest.approx(expected, rel=0.001)


@pytest.mark.slow
def test_the_command_writes_a_table(tmp_path: Path) -> None:
    out = tmp_path / "matrix.csv"
    subprocess.run(
        [sys.executable, memory_matrix.__file__, "--device", "cpu", "--tiny", "--out", str(out)],
        stdin=subprocess.DEVNULL,
        check=True,
    )
    rows = list(csv.DictReader(out.open(encoding="utf-8")))
    assert [row["method"] for row in rows] == ["lora", "qlora", "full"]
    for row in rows:
        assert row["outcome"] == "ok"
        assert int(row["allocated"]) == pytest.approx(int(row["traced_allocated"]), rel=0.001)
